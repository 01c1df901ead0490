"""Samples a second that come out of the data pipeline: Secateur's batches, against torchvision and a DataLoader.

    python3 benchmarks/data_pipeline.py --repeats 5

The images are noise of CIFAR's size, in memory on both sides; each is cropped out of its padded self, mirrored half of
the time and normalised, and comes in batches of 512. The threads wait for each other as in a run of main.py. Both
take turns, an epoch each, so that whatever else the machine does meets both; the table shows medians.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from secateur.data.batches import Batches
from secateur.data.data_set import Images
from secateur.data_sets.CIFAR10 import CIFAR10
from secateur.training.precision import tune_cpu
from secateur.utils.torchvision_import import torchvision

BATCH_SIZE = 512


class Usual(Dataset):
    """Images in memory that are transformed one by one, as torchvision's CIFAR10 does it."""

    def __init__(self, pixels: np.ndarray, labels: list[int]) -> None:
        self.pixels, self.labels = pixels, labels
        transforms = torchvision.transforms
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(CIFAR10.mean, CIFAR10.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[number])), self.labels[number]


def main() -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="images an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each method (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the DataLoader (default: %(default)s)")
    arguments = parser.parse_args()
    tune_cpu()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (arguments.images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (arguments.images,), generator=generator)
    batches = Batches(Images(pixels, labels), BATCH_SIZE, CIFAR10.mean, CIFAR10.std, CIFAR10.augmentation)
    usual = Usual(pixels.permute(0, 2, 3, 1).contiguous().numpy(), labels.tolist())
    loader = DataLoader(usual, BATCH_SIZE, shuffle=True, num_workers=arguments.workers)
    methods: dict[str, Callable[[int], Iterable]] = {"Secateur": batches.epoch, "usual": lambda _epoch: loader}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for epoch in range(arguments.repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            for _batch in method(epoch):
                pass
            seconds[name].append(time.perf_counter() - start)
    speeds = {name: arguments.images / statistics.median(times) for name, times in seconds.items()}
    table = Table(title=f"Samples a second, augmented and normalised, {torch.get_num_threads()} threads")
    for heading in ("Secateur", f"usual, {arguments.workers} workers", "ratio"):
        table.add_column(heading, justify="right")
    ratio = speeds["Secateur"] / speeds["usual"]
    table.add_row(f"{speeds['Secateur']:,.0f}", f"{speeds['usual']:,.0f}", f"{ratio:.1f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
