"""Pruning in a plain training loop: the same masks as main.py, exact sparsity, and what a step costs more.

    python3 benchmarks/own_loop.py            # all three tables
    python3 benchmarks/own_loop.py --only masks|exact|cost

masks: every criterion, in a loop of plain torch with the one line that makes a `secateur.Pruner`, and by main.py with
the same network, seed and batches. exact: zeros after 200 steps of each optimizer, with gradient accumulation, autocast
and gradient clipping. cost: the median step with and without masks, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.config.command_line import parse
from secateur.config.registry import Registry, find_class
from secateur.hooks import observed_by_none, plugin_manager
from secateur.runs.assemble import assemble
from secateur.runs.folder import RunFolder

#: What every comparison trains on, and how. Clipping is off: torch's function and the trainer's round differently.
COMMON = {"data_set": "DIGITS", "N": 256, "batch_size": 64, "grad_clip": 0, "seed": 7, "epochs": 6}
#: The trainer and the loss are the usual ones, also for criteria that would name others.
USUAL = {"train_scheme": "DefaultTrainer", "loss": "CrossEntropy"}
#: Few steps, so that all fit; thresholds that some weights are below.
OPTIONS = {
    "SynFlow": {"snip_steps": 5},
    "FORCE": {"snip_steps": 5},
    "RigL": {"update_steps": 3},
    "HoyerSquare": {"hoyer_threshold": 0.02},
    "GroupHoyerSquare": {"hoyer_threshold": 0.1},
    "GateDecorators": {"snip_steps": 3, "tick_epochs": 1, "tock_epochs": 0},
}
DURING = {"SNIPitDuring", "SNAPitDuring", "CNIPitDuring", "GradualMagnitude", "IMP", "MovementPruning", "SET"}


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def options_of(criterion: str) -> dict[str, object]:
    """Return what a criterion is given in the comparison."""
    own = OPTIONS.get(criterion, {})
    if criterion in DURING:
        own = {"snip_steps": 2, **own}
    return own if criterion in ("EmptyCrit", "HoyerSquare", "GroupHoyerSquare") else {"pruning_limit": 0.7, **own}


def by_main(criterion: str, model: str, folder: Path) -> tuple[object, dict, dict]:
    """Train as main.py does; returns the run, its masks and its weights."""
    hooks, _ = plugin_manager()
    flags = {**COMMON, **USUAL, **options_of(criterion), "model": model, "prune_criterion": criterion}
    argv = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    settings = parse([*argv, "--results_dir", str(folder), "--eval_freq", "0", "--no_compact"], Registry(hooks), hooks)
    run = assemble(settings, Registry(hooks), hooks)
    run.folder, run.hooks = RunFolder.new(settings["results_dir"], ""), observed_by_none()
    fresh = run.fresh_network(COMMON["seed"])
    settings.components["train_scheme"].load()(run).train()
    return run, fresh, dict(run.masks.kept)


def by_own_loop(criterion: str, fresh: nn.Module, batches: object) -> tuple[nn.Module, dict]:
    """Train in a loop of plain torch; returns the network and its masks."""
    network, epochs = fresh, COMMON["epochs"]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=5e-5, fused=True)
    torch.manual_seed(COMMON["seed"])
    pruner = secateur.Pruner(
        network,
        criterion,
        batches=batches,
        optimizer=optimizer,
        epochs=epochs,
        seed=COMMON["seed"],
        **options_of(criterion),
    )
    for epoch in range(epochs):
        network.train()
        for inputs, targets in batches.epoch(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
    return network, pruner.masks.kept


def same(one: dict, other: dict) -> bool:
    """Whether two dictionaries of tensors are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def compare_masks() -> bool:
    """Print, for each criterion, whether masks and weights are those of main.py."""
    say(f"{'criterion':20} {'network':10} {'sparsity':>9} {'masks':>6} {'weights':>8}")
    all_same = True
    with tempfile.TemporaryDirectory() as folder:
        for criterion in secateur.names("criterions"):
            model = "ResNet20" if criterion in ("BNScale", "GateDecorators") else "LeNet5"
            run, fresh, masks = by_main(criterion, model, Path(folder))
            network, own_masks = by_own_loop(criterion, fresh, run.data.train)
            results = same(masks, own_masks), same(run.network.state_dict(), network.state_dict())
            all_same &= all(results)
            told = ["same" if result else "DIFFER" for result in results]
            say(
                f"{criterion:20} {model:10} {run.sparsity().weight_sparsity:9.4f} {told[0]:>6} {told[1]:>8}",
            )
    return all_same


OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3, weight_decay=5e-4),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, lr=0.1, max_iter=2),
}


def check_exactness(steps: int = 200) -> bool:
    """Print how many weights are not zero after so many steps of each optimizer, beside how many should be."""
    say(f"\n{'optimizer':10} {'with':14} {'nonzero':>8} {'asked':>8}")
    images, labels = torch.randn(64, 1, 8, 8), torch.randint(10, (64,))
    all_exact = True
    for name, make in OPTIMIZERS.items():
        for variant in ("plain", "accumulation", "clipping", "bf16", "fp16 scaler"):
            if (name, variant) == ("LBFGS", "fp16 scaler"):
                continue  # a scaler takes no closure
            torch.manual_seed(0)
            network = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
            optimizer = make(network.parameters())
            batches = [(images[:32], labels[:32]), (images[32:], labels[32:])]
            secateur.prune(network, "SNIP", sparsity=0.9, batches=batches, outer_layer_pruning=True)
            _train(network, optimizer, batches, variant, steps)
            weights = [parameter for parameter in network.parameters() if parameter.dim() > 1]
            nonzero, total = (sum(int(f(weight)) for weight in weights) for f in (torch.count_nonzero, torch.numel))
            all_exact &= nonzero == round(0.1 * total)
            say(f"{name:10} {variant:14} {nonzero:8,} {round(0.1 * total):8,}")
    return all_exact


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, batches: list, variant: str, steps: int) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=variant == "fp16 scaler")
    kind = {"bf16": torch.bfloat16, "fp16 scaler": torch.float16}.get(variant)

    def backward() -> torch.Tensor:
        optimizer.zero_grad()
        for inputs, targets in batches if variant == "accumulation" else batches[:1]:
            with torch.autocast("cpu", dtype=kind or torch.bfloat16, enabled=kind is not None):
                loss = functional.cross_entropy(network(inputs), targets)
            scaler.scale(loss).backward()
        if scaler.is_enabled():
            scaler.unscale_(optimizer)
        if variant == "clipping":
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        return loss

    for _ in range(steps):
        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(backward)
        else:
            backward()
            scaler.step(optimizer)
            scaler.update()


def measure_cost(seconds: float) -> None:
    """Print the median step of a dense network, and of the same one with masks, in turns."""
    say(f"\n{'network':10} {'batch':>6} {'dense ms':>9} {'masked ms':>10} {'overhead':>9}")
    for model, batch in (("ResNet18", 32), ("ResNet20", 128), ("LeNet5", 128)):
        images, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
        steppers = {}
        for kind in ("dense", "masked"):
            torch.manual_seed(0)
            network = find_class("models", model)(input_shape=(3, 32, 32), num_classes=10)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
            if kind == "masked":
                secateur.prune(network, "Magnitude", sparsity=0.9, batches=[(images, labels)])
            steppers[kind] = _steps(network, optimizer, images, labels)
        times: dict[str, list[float]] = {kind: [] for kind in steppers}
        for steps in steppers.values():
            next(steps)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            for kind, steps in steppers.items():
                before = time.perf_counter()
                next(steps)
                times[kind].append(time.perf_counter() - before)
        dense, masked = (1000 * statistics.median(times[kind]) for kind in ("dense", "masked"))
        say(f"{model:10} {batch:6} {dense:9.2f} {masked:10.2f} {masked / dense - 1:9.1%}")


def _steps(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> Iterator[None]:
    while True:
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("masks", "exact", "cost"), help="one of the three tables")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each network's step is measured")
    flags = parser.parse_args()
    right = True
    if flags.only in (None, "masks"):
        right &= compare_masks()
    if flags.only in (None, "exact"):
        right &= check_exactness()
    if flags.only in (None, "cost"):
        measure_cost(flags.seconds)
    sys.exit(0 if right else 1)
