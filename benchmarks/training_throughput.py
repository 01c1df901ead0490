"""Samples a second in training: Secateur's loop on its batches, against the usual loop on torchvision and a DataLoader.

    python3 benchmarks/training_throughput.py --networks LeNet300 --repeats 5

The images are synthetic, written as MNIST's files into a temporary folder, where all methods read them: nothing is
downloaded. Each method does the same work (Adam with weight decay, clipped gradients, loss and accuracy counted) as a
program of its own, started as its user would start it: Secateur with the settings that main.py makes (how threads wait,
how memory is kept, which library multiplies), the usual loop with those of torch. They take turns, an epoch each, so
that whatever else the machine does meets all of them; the table shows medians. It runs on the CPU.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT
from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.data_sets.MNIST import MNIST
from secateur.hooks import plugin_manager
from secateur.observers.project import project_observers
from secateur.runs.assemble import assemble
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.torchvision_import import torchvision

ROOT = Path(__file__).resolve().parent.parent
#: Images an epoch. Arithmetic takes nearly all of the time of convolutions: more images would not tell more.
IMAGES = {"LeNet300": 60_000, "LeNet5": 15_360, "ResNet18": 512}
BATCH_SIZE = 512
LEARNING_RATE = 2e-3
WORKERS = (0, 2)
#: Nothing is tested here, but a data set has a test set.
TEST_IMAGES = 100


def main() -> None:
    """Measure each network and print the table; or, started by that, be one of the methods."""
    arguments = read_arguments()
    if arguments.method:
        take_turns(arguments.method, arguments.networks[0], Path(arguments.folder))
        return
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
            seconds = measure(network, folder, arguments.repeats)
        secateur, *usual = (images / statistics.median(times) for times in seconds)
        compared = [cell for speed in usual for cell in (f"{speed:,.0f}", f"{secateur / speed:.1f}x")]
        table.add_row(network, f"{images:,}", f"{secateur:,.0f}", *compared)
    Console().print(table)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--repeats", type=int, default=3, help="epochs of each method (default: %(default)s)")
    sizes = ", ".join(f"{name} {images}" for name, images in IMAGES.items())
    parser.add_argument("--images", type=int, help=f"images an epoch (default: {sizes})")
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
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


def measure(network: str, folder: str, repeats: int) -> list[list[float]]:
    """Return the seconds of `repeats` epochs of Secateur, then of the usual loop by number of workers."""
    plain = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    command = [sys.executable, __file__, "--networks", network, "--folder", folder, "--method"]
    started = [
        subprocess.Popen(
            [*command, method], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for method, environment in (("secateur", plain | ENVIRONMENT), *((str(workers), plain) for workers in WORKERS))
    ]
    seconds: list[list[float]] = [[] for _ in started]
    for turn in range(repeats + 1):
        for times, process in zip(seconds, started, strict=True):
            print("go", file=process.stdin)
            answer = process.stdout.readline()
            if turn:  # the first epoch warms up
                times.append(float(answer))
    for process in started:
        process.communicate()
    return seconds


def take_turns(method: str, network: str, folder: Path) -> None:
    """Train an epoch and print its seconds for each line of the input."""
    epoch = secateur_loop(network, folder) if method == "secateur" else usual_loop(network, int(method), folder)
    for _line in sys.stdin:
        start = time.perf_counter()
        epoch()
        sys.stdout.write(f"{time.perf_counter() - start}\n")
        sys.stdout.flush()


def secateur_loop(network: str, folder: Path) -> Callable[[], None]:
    """Return what trains for one epoch as `main.py --model <network> --data_set MNIST` does, observers included."""
    hooks, _problems = plugin_manager()
    registry = Registry(hooks)
    argv = ["--model", network, "--data_set", "MNIST", "--optimizer", "ADAM", "--device", "cpu"]
    argv += ["--learning_rate", str(LEARNING_RATE), "--batch_size", str(BATCH_SIZE), "--data_dir", str(folder)]
    settings = parse(argv, registry, hooks)
    trainer = DefaultTrainer(assemble(settings, registry, hooks))
    for observer in project_observers(settings):
        hooks.register(observer)

    def epoch() -> None:
        trainer.train_epoch()
        trainer.epoch += 1  # which orders the next epoch anew

    return epoch


def usual_loop(name: str, workers: int, folder: Path) -> Callable[[], None]:
    """Return what trains the same network for one epoch as a textbook does it."""
    network = getattr(import_module(f"secateur.models.{name}"), name)((1, 28, 28), 10)
    transforms = torchvision.transforms
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MNIST.mean, MNIST.std)])
    data_set = torchvision.datasets.MNIST(str(folder), transform=normalise)
    loader = DataLoader(data_set, BATCH_SIZE, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, weight_decay=5e-5)

    def epoch() -> None:
        network.train()
        total, right = 0.0, 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            logits = network(inputs)
            loss = functional.cross_entropy(logits, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()
            total += loss.item()
            right += (logits.argmax(1) == targets).sum().item()

    return epoch


if __name__ == "__main__":
    main()
