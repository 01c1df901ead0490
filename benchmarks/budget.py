"""Networks pruned to a latency: is it met in another process, and what is it worth to know what channels cost here?

    python3 benchmarks/budget.py --networks ResNet18 ViT_tiny --budgets 0.5 0.33 0.2

Each network, at its initialisation, is pruned to fractions of its latency on random images of 3x64x64, kept on disk,
and timed beside the dense one in three new processes: `again` is the fraction that it takes there, the median.
Then it is pruned to half of its operations, once by the scores alone, once by what a channel costs on this machine
(`--cost latency@8 --round_to auto`): both take turns beside the dense one. Each measurement is one line of a file under
gitignored/results/budget, or --results, so that the table can be stopped and gone on with.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import torch
from torch import nn

import secateur
from secateur.api.pruning import Pruned
from secateur.config.registry import find_class
from secateur.measuring.flops import count_flops
from secateur.measuring.latency import median_seconds
from secateur.training.precision import tune_cpu
from secateur.utils.errors import UserError

NETWORKS = ("ResNet18", "ResNet50", "MobileNetV2", "DenseNet121", "ViT_tiny")
CLASSES, FLOPS, PROCESSES = 10, 0.5, 3
#: How channels are chosen at equal operations.
CHOICES = {"global": {}, "cost": {"cost": "latency"}, "cost, widths": {"cost": "latency", "round_to": "auto"}}


def main() -> None:
    """Measure what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5, 0.33, 0.2])
    parser.add_argument("--criterion", default="L1Norm", help="of channels (default: %(default)s)")
    parser.add_argument("--images", type=int, default=8, help="at a time (default: %(default)s)")
    parser.add_argument("--shape", nargs=3, type=int, default=[3, 64, 64], metavar=("C", "H", "W"))
    parser.add_argument("--seconds", type=float, default=10.0, help="each comparison takes (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=ROOT / "gitignored" / "results" / "budget")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long, and go on next time")
    parser.add_argument("--again", metavar="PATH", help="only time this network beside its dense one, and say it")
    arguments = parser.parse_args()
    tune_cpu()
    if arguments.again:
        network = secateur.load(arguments.again, hold=False)
        sys.stdout.write(json.dumps(ratios({"pruned": network}, arguments.networks[0], arguments)["pruned"]))
        return
    ends = time.perf_counter() + 60 * arguments.minutes if arguments.minutes else float("inf")
    arguments.results.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks:
        for budget in arguments.budgets:
            measure(f"{name} latency {budget}", partial(meet, name, budget, arguments), arguments, ends)
        measure(f"{name} flops", partial(compare, name, arguments), arguments, ends)
    print_tables(arguments)


def build(name: str, arguments: argparse.Namespace) -> nn.Module:
    """The network at its initialisation."""
    torch.manual_seed(1)
    kind = find_class("models", name)
    return kind(input_shape=tuple(arguments.shape), num_classes=CLASSES).eval()


def prune(name: str, target: str, arguments: argparse.Namespace, **options: object) -> Pruned:
    """Prune a network to a target; images are random, and all layers are ranked together."""
    network, shape = build(name, arguments), arguments.shape
    images, labels = torch.rand(16, *shape), torch.arange(16) % CLASSES
    options = {"distribution": "global", "target": [target], "batches": [(images, labels)]} | options
    if "cost" in options:
        options["cost"] += f"@{arguments.images}"
    return secateur.prune(network, arguments.criterion, **options)


def ratios(networks: dict[str, nn.Module], name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The time of networks as fractions of the dense one's, taking turns."""
    images = torch.rand(arguments.images, *arguments.shape)
    taken = median_seconds({"dense": build(name, arguments), **networks}, images, arguments.seconds)
    return {label: taken[label] / taken["dense"] for label in networks}


def meet(name: str, budget: float, arguments: argparse.Namespace) -> dict[str, object]:
    """Prune to a latency, and time the network here and in new processes."""
    start = time.perf_counter()
    try:
        result = prune(name, f"latency={budget}@{arguments.images}", arguments)
    except UserError as error:
        return {"error": str(error)}
    seconds = time.perf_counter() - start
    network, criterion = result.pruner.network, result.pruner.criterion
    path = arguments.results / f"{name}_{budget}"
    secateur.save(network, path, model=name, num_classes=CLASSES, options={}, input_shape=arguments.shape)
    words = ["--networks", name, "--images", arguments.images, "--seconds", arguments.seconds, "--again", path]
    words += ["--shape", *arguments.shape]
    command = [sys.executable, __file__, *map(str, words)]
    again = [
        float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout) for _ in range(PROCESSES)
    ]
    (found,) = [value for key, value in criterion.budgets[-1].items() if key.startswith("latency")]
    return {
        "reached": budget * found["reached"] / found["asked"],
        "again": statistics.median(again),
        "each": again,
        "tries": len(criterion.budgets[-1]["tried"]),
        "sparsity": criterion.estimate,
        "seconds": seconds,
    }


def compare(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Prune to the same operations by each choice, and let all take turns."""
    networks: dict[str, nn.Module] = {}
    for label, options in CHOICES.items():
        try:
            networks[label] = prune(name, f"flops={FLOPS}", arguments, **options).pruner.network.eval()
        except UserError as error:
            return {"error": str(error)}
    image = torch.zeros(1, *arguments.shape)
    dense = count_flops(build(name, arguments), image).total
    taken = ratios(networks, name, arguments)
    return {
        label: {"latency": taken[label], "flops": count_flops(one, image).total / dense}
        for label, one in networks.items()
    }


def measure(label: str, make: Callable[[], dict[str, object]], arguments: argparse.Namespace, ends: float) -> None:
    """Make a measurement that was not made before, and keep it."""
    if label in known(arguments) or time.perf_counter() > ends:
        return
    line = json.dumps({"label": label, **make()})
    with (arguments.results / "budget.jsonl").open("a") as file:
        file.write(line + "\n")
    sys.stderr.write(line + "\n")


def known(arguments: argparse.Namespace) -> dict[str, dict]:
    """What was measured so far, by label."""
    path = arguments.results / "budget.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {one["label"]: one for one in map(json.loads, lines)}


def print_tables(arguments: argparse.Namespace) -> None:
    """Print both tables in Markdown."""
    found = known(arguments)
    lines = [
        "| network | asked | reached | in new processes | off | tries | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in arguments.networks:
        for budget in arguments.budgets:
            one = found.get(f"{name} latency {budget}")
            if one and "error" in one:
                lines.append(f"| {name} | {budget:g} | {one['error']} | | | | |")
            elif one:
                off = one["again"] / budget - 1
                lines.append(
                    f"| {name} | {budget:g} | {one['reached']:.3f} | {one['again']:.3f} | {off:+.1%} | "
                    f"{one['tries']} | {one['seconds']:.0f} |"
                )
    lines += ["", f"| network, flops={FLOPS} | {' | '.join(CHOICES)} |", "|---" * (1 + len(CHOICES)) + "|"]
    for name in arguments.networks:
        one = found.get(f"{name} flops")
        if one and "error" not in one:
            cells = [f"{one[label]['latency']:.3f} (FLOPs {one[label]['flops']:.3f})" for label in CHOICES]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
