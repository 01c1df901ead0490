"""What removed channels are worth: operations and time of a forward pass, pruned against dense.

    python3 benchmarks/pruned_latency.py --networks VGG16 ResNet18 --limit 0.93

Each network is pruned by SNAPit at initialisation, on random images of 3x32x32: what is left computes as fast trained
as untrained. The pruned and the dense network take turns in one process, for `--seconds` a batch size; the table shows
how many times the FLOPs, the parameters and the median time of a forward pass have become smaller. In the last rows
98 % of the weights of ResNet18 are zero by SNIPit, against what compaction leaves of it, the same function. ViT_tiny
loses a third of the units of each layer by L1Norm, in widths of multiples of 8.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from secateur.channels.compaction import compact, difference
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.SNAPit import SNAPit
from secateur.criterions.SNIPit import SNIPit
from secateur.measuring.flops import count_flops
from secateur.measuring.latency import BATCH_SIZES, median_seconds
from secateur.pruning.build import build_criterion
from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks
from secateur.pruning.plan import SCHEDULES
from secateur.training.precision import tune_cpu

SHAPE, CLASSES = (3, 32, 32), 10
#: Random images that scores are computed on.
BATCHES, IMAGES = 2, 32


def main() -> None:
    """Prune and measure each network, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["VGG16", "ResNet18"], metavar="NAME")
    parser.add_argument(
        "--limit", type=float, default=0.93, help="fraction of the units that is pruned (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="time for a batch size (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cpu":
        tune_cpu()
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    table = Table(title=f"SNAPit to {arguments.limit} of the units, {where}: dense against pruned")
    table.add_column("network")
    for heading in ("FLOPs", "parameters", "batch", "dense, ms", "pruned, ms", "speed"):
        table.add_column(heading, justify="right")
    for name in arguments.networks:
        left = prune(SNAPit, build(name).to(device), arguments.limit).network
        for cells in compare(build(name), left, arguments.seconds, device):
            table.add_row(name, *cells)
    narrow = prune(L1Norm, build("ViT_tiny").to(device), 0.32, distribution="uniform", round_to=8).network
    for cells in compare(build("ViT_tiny"), narrow, arguments.seconds, device):
        table.add_row("ViT_tiny", *cells)
    zeros, compacted = compaction(device)
    for cells in compare(zeros, compacted, arguments.seconds, device):
        table.add_row("ResNet18 compacted", *cells)
    Console().print(table)


def compaction(device: torch.device) -> tuple[nn.Module, nn.Module]:
    """Return ResNet18 with the zeros that SNIPit leaves, and what compaction makes of it."""
    criterion = prune(SNIPit, build("ResNet18").to(device), 0.98)
    example = torch.zeros(1, *SHAPE, device=device)
    smaller = compact(criterion.network, example, criterion.masks)
    if smaller is None or difference(criterion.network, smaller.network, example) > 1e-5:
        raise SystemExit("compaction has found nothing to remove, or has changed the outputs")
    return criterion.network, smaller.network


def compare(dense: nn.Module, left: nn.Module, seconds: float, device: torch.device) -> list[list[str]]:
    """Return the rows of two networks, one a batch size: how many times fewer or faster, and the milliseconds."""
    networks = {"dense": dense, "pruned": left}
    flops = {key: count_flops(network.cpu(), torch.zeros(1, *SHAPE)).total for key, network in networks.items()}
    sizes = {key: sum(weight.numel() for weight in network.parameters()) for key, network in networks.items()}
    fewer = [f"{counts['dense'] / counts['pruned']:.1f}x" for counts in (flops, sizes)]
    networks = {key: network.to(device) for key, network in networks.items()}
    rows = []
    for size in BATCH_SIZES:
        times = median_seconds(networks, torch.rand(size, *SHAPE, device=device), seconds)
        shown = [f"{1000 * times[key]:.2f}" for key in networks]
        rows.append([*fewer, str(size), *shown, f"{times['dense'] / times['pruned']:.1f}x"])
    return rows


def build(name: str) -> nn.Module:
    """Return the network with the same initial weights each time."""
    torch.manual_seed(0)
    return getattr(import_module(f"secateur.models.{name}"), name)(SHAPE, CLASSES)


def prune(kind: type[Criterion], network: nn.Module, limit: float, **options: Any) -> Criterion:
    """Prune as `--prune_criterion <kind> --pruning_limit <limit> --outer_layer_pruning` does before training."""
    device = next(network.parameters()).device
    example, options = torch.zeros(1, *SHAPE, device=device), {"pruning_limit": limit, **options}
    criterion = build_criterion(
        kind, network, Masks(network), functional.cross_entropy, example, outer=True, seed=333, options=options
    )
    generator = torch.Generator().manual_seed(0)
    for sparsity in SCHEDULES[criterion.schedule](limit, criterion.snip_steps):
        batches = []
        for _ in range(BATCHES):
            images = torch.rand((IMAGES, *SHAPE), generator=generator)
            targets = torch.randint(CLASSES, (IMAGES,), generator=generator)
            batches.append((images.to(device), targets.to(device)))
        criterion.prune(sparsity, batches)
    return criterion


if __name__ == "__main__":
    main()
