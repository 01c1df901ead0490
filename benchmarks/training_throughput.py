"""Samples a second in training: Secateur's loop on its batches, against the usual loop on torchvision and a DataLoader.

    python3 benchmarks/training_throughput.py --networks LeNet300 --repeats 5

The images are made up and written as MNIST's files into a temporary folder, where both sides read them: nothing is
downloaded. The ways take turns, an epoch each, so that whatever else the machine does meets all of them; the table
shows medians. It runs on the CPU. What a run sets for the whole process (how memory is kept, how threads wait) serves
all ways alike; torch's own setting for products of matrices is as a run sets it in Secateur's turns, and torch's
default in the others.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as main.py does, before torch is loaded

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_sets.MNIST import MNIST
from trainers.DefaultTrainer import DefaultTrainer
from utils.arguments import parse
from utils.hooks import plugin_manager
from utils.observers import project_observers
from utils.registry import Registry
from utils.run.assemble import assemble
from utils.torchvision_import import torchvision
from utils.training.cpu import use_onednn_products

ROOT = Path(__file__).resolve().parent.parent
#: Images an epoch. Arithmetic takes nearly all of the time of convolutions: more images would not tell more.
IMAGES = {"LeNet300": 60_000, "LeNet5": 15_360, "ResNet18": 1_024}
BATCH_SIZE = 512
LEARNING_RATE = 2e-3
WORKERS = (0, 2)
#: Nothing is tested here, but a data set has a test set.
TEST_IMAGES = 100


def main() -> None:
    """Measure each network and print the table."""
    arguments = read_arguments()
    table = Table(title=f"Samples a second in training, batches of {BATCH_SIZE}, {torch.get_num_threads()} threads")
    table.add_column("network")
    for heading in ("images", "Secateur"):
        table.add_column(heading, justify="right")
    for workers in WORKERS:
        table.add_column(f"usual,\n{workers} workers", justify="right")
        table.add_column("ratio", justify="right")
    for network in arguments.networks:
        images = arguments.images or IMAGES[network]
        with tempfile.TemporaryDirectory() as folder:
            write_mnist(Path(folder), images)
            seconds = measure(ways(network, Path(folder)), arguments.repeats)
        secateur, *usual = (images / statistics.median(times) for times in seconds.values())
        compared = [cell for speed in usual for cell in (f"{speed:,.0f}", f"{secateur / speed:.1f}x")]
        table.add_row(network, f"{images:,}", f"{secateur:,.0f}", *compared)
    Console().print(table)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each way (default: %(default)s)")
    sizes = ", ".join(f"{name} {images}" for name, images in IMAGES.items())
    parser.add_argument("--images", type=int, help=f"images an epoch (default: {sizes})")
    return parser.parse_args()


def write_mnist(folder: Path, images: int) -> None:
    """Write noise, always the same, as the four files of MNIST where torchvision looks for them below `folder`."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, number in (("train", images), ("t10k", TEST_IMAGES)):
        pixels = generator.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, number, dtype=np.uint8)
        for kind, array in (("images", pixels), ("labels", labels)):
            # The idx format: type (8 is a byte) and number of dimensions, then their sizes, then the bytes.
            header = np.array([0x800 + array.ndim, *array.shape], dtype=">u4")
            (raw / f"{part}-{kind}-idx{array.ndim}-ubyte").write_bytes(header.tobytes() + array.tobytes())


def ways(network: str, folder: Path) -> dict[str, Callable[[], None]]:
    """Return by name what trains `network` for one epoch: Secateur first, then the usual way by number of workers.

    All start from the same weights.
    """
    trainer = build_trainer(network, folder)
    copies = {f"{workers} workers": (copy.deepcopy(trainer.network), workers) for workers in WORKERS}

    def secateur() -> None:
        use_onednn_products(True)
        trainer.train_epoch()
        use_onednn_products(False)
        trainer.epoch += 1  # which orders the next epoch anew

    return {
        "secateur": secateur,
        **{name: usual_way(network, workers, folder) for name, (network, workers) in copies.items()},
    }


def build_trainer(network: str, folder: Path) -> DefaultTrainer:
    """Return the trainer that `main.py --model <network> --data_set MNIST` would train with, observers included."""
    hooks, _problems = plugin_manager()
    registry = Registry(ROOT, hooks)
    argv = ["--model", network, "--data_set", "MNIST", "--optimizer", "ADAM", "--device", "cpu"]
    argv += ["--learning_rate", str(LEARNING_RATE), "--batch_size", str(BATCH_SIZE), "--data_dir", str(folder)]
    arguments = parse(argv, registry, hooks)
    run = assemble(arguments, registry, hooks)
    for observer in project_observers(arguments):
        hooks.register(observer)
    return DefaultTrainer(run)


def usual_way(network: nn.Module, workers: int, folder: Path) -> Callable[[], None]:
    """Return what trains `network` for one epoch as a textbook does it."""
    transforms = torchvision.transforms
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MNIST.mean, MNIST.std)])
    data_set = torchvision.datasets.MNIST(str(folder), transform=normalise)
    loader = DataLoader(data_set, BATCH_SIZE, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

    def epoch() -> None:
        network.train()
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return epoch


def measure(epochs: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds that each epoch took, by name; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(repeats):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
