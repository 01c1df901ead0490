"""What removed channels are worth: operations and time of a forward pass, pruned against dense.

    python3 benchmarks/pruned_latency.py --networks VGG16 ResNet18 --limit 0.93

Each network is pruned by SNAPit at initialisation, on random images of 3x32x32: what is left computes as fast trained
as untrained. The pruned and the dense network take turns in one process, for `--seconds` a batch size; the table shows
how many times the FLOPs, the parameters and the median time of a forward pass have become smaller.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from main import ENVIRONMENT, ROOT

os.environ.update(ENVIRONMENT | os.environ)  # read when torch starts

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from criterions.SNAPit import SNAPit
from utils.arguments import parse
from utils.hooks import plugin_manager
from utils.measure.flops import count_flops
from utils.measure.latency import BATCH_SIZES, median_seconds
from utils.measure.sparsity import layer_outputs
from utils.pruning.masks import Masks
from utils.pruning.schedules import SCHEDULES
from utils.registry import Registry
from utils.training.cpu import tune_cpu

SHAPE, CLASSES = (3, 32, 32), 10
#: Random images that scores are computed on.
BATCHES, IMAGES = 2, 32


def main() -> None:
    """Prune and measure each network, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["VGG16", "ResNet18"], metavar="NAME")
    parser.add_argument("--limit", type=float, default=0.93, help="share of the nodes that goes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for a batch size (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cpu":
        tune_cpu()
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)
    table = Table(title=f"SNAPit to {arguments.limit} of the nodes, {where}: dense against pruned")
    table.add_column("network")
    for heading in ("FLOPs", "parameters"):
        table.add_column(f"{heading},\ntimes fewer", justify="right")
    for size in BATCH_SIZES:
        table.add_column(f"batch of {size},\ndense ms", justify="right")
        table.add_column("pruned ms", justify="right")
        table.add_column("times\nfaster", justify="right")
    for name in arguments.networks:
        table.add_row(name, *compare(name, arguments.limit, arguments.seconds, device))
    Console().print(table)


def compare(name: str, limit: float, seconds: float, device: torch.device) -> list[str]:
    """Return the cells of one network: FLOPs, parameters, and each batch size."""
    networks = {"dense": build(name).to(device), "pruned": pruned(build(name).to(device), limit)}
    flops = {key: count_flops(network.cpu(), torch.zeros(1, *SHAPE)).total for key, network in networks.items()}
    sizes = {key: sum(weight.numel() for weight in network.parameters()) for key, network in networks.items()}
    cells = [f"{counts['dense'] / counts['pruned']:.1f}" for counts in (flops, sizes)]
    networks = {key: network.to(device) for key, network in networks.items()}
    for size in BATCH_SIZES:
        times = median_seconds(networks, torch.rand(size, *SHAPE, device=device), seconds)
        dense, left = 1000 * times["dense"], 1000 * times["pruned"]
        cells += [f"{dense:.2f}", f"{left:.2f}", f"{dense / left:.1f}"]
    return cells


def build(name: str) -> nn.Module:
    """Return the network with the same initial weights each time."""
    torch.manual_seed(0)
    return getattr(import_module(f"models.{name}"), name)(SHAPE, CLASSES)


def pruned(network: nn.Module, limit: float) -> nn.Module:
    """Remove channels as `--prune_criterion SNAPit --pruning_limit <limit>` does before training."""
    hooks, _problems = plugin_manager()
    arguments = parse(["--prune_criterion", "SNAPit", "--pruning_limit", str(limit)], Registry(ROOT, hooks), hooks)
    masks = Masks(network)
    criterion = SNAPit(network, masks, functional.cross_entropy, masks.weights, arguments)
    device = next(network.parameters()).device
    criterion.example, criterion.dense_outputs = torch.zeros(1, *SHAPE, device=device), layer_outputs(network)
    generator = torch.Generator().manual_seed(0)
    for sparsity in SCHEDULES["snip_it"](limit, arguments.snip_steps):
        batches = []
        for _ in range(BATCHES):
            images = torch.rand((IMAGES, *SHAPE), generator=generator)
            targets = torch.randint(CLASSES, (IMAGES,), generator=generator)
            batches.append((images.to(device), targets.to(device)))
        criterion.prune(sparsity, batches)
    return network


if __name__ == "__main__":
    main()
