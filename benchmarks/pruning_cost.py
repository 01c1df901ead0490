"""What one pruning decision costs: time and peak memory of each criterion, in units of one training step.

    python3 benchmarks/pruning_cost.py --criteria SNIP GRASP SynFlow

The network is ResNet18 on 3x32x32 images with all layers prunable: 11 million weights. A decision is one pruning
step, from the scores on `--batches` batches to the masks; a training step is DefaultTrainer's on a batch of the same
size. SynFlow and FORCE make many such decisions in a row, of which this is one. Each row has a process of its own, in
which training steps and decisions, each the first of a run, take turns; the table shows medians. The first row is a
training step itself, the last one the selection alone: from 11 million scores to the masks.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT
from secateur.config.command_line import parse
from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.selection import select
from secateur.runs.assemble import assemble
from secateur.trainers.DefaultTrainer import DefaultTrainer

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 0.9
STEP, SELECTION = "training step", "selection alone"


def main() -> None:
    """Measure each criterion and print the table; or, started by that, measure one."""
    criteria = sorted(path.stem for path in (ROOT / "criterions").glob("[A-Z]*.py") if path.stem != "EmptyCrit")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--criteria", nargs="+", default=criteria, metavar="NAME")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=5, help="batches that scores are computed on")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments.measure, arguments)) + "\n")
        return
    table = Table(title=f"One pruning decision on {arguments.batches} batches of {arguments.batch_size}")
    table.add_column("criterion")
    for heading in ("seconds", "training steps", "steps a batch", "peak memory, MiB"):
        table.add_column(heading, justify="right")
    for name in [STEP, *arguments.criteria, SELECTION]:
        figures = measured_apart(name, arguments)
        steps = figures["decision"] / figures["step"]
        table.add_row(
            name,
            f"{figures['decision']:.2f}",
            f"{steps:.2f}",
            "" if name in (STEP, SELECTION) else f"{steps / arguments.batches:.2f}",
            f"{figures['memory']:,.0f}",
        )
    Console().print(table)


def measured_apart(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one criterion in a process of its own."""
    command = [sys.executable, __file__, "--measure", name]
    command += [f"--{flag}={getattr(arguments, flag)}" for flag in ("batch_size", "batches", "repeats")]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    return json.loads(done.stdout)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return the median seconds of a decision and of a training step, and the memory that a decision takes."""
    seconds: dict[str, list[float]] = {"decision": [], "step": []}
    memory = []
    for _ in range(arguments.repeats + 1):  # each decision is the first one of its run; the first run is for warmth
        trainer = build_trainer("SNIP" if name in (STEP, SELECTION) else name, arguments.batch_size)
        step, decision = works(name, trainer, arguments.batches)
        step()
        seconds["step"].append(timed(step))
        memory.append(peak(lambda decision=decision: seconds["decision"].append(timed(decision))))
    return {key: statistics.median(times[1:]) for key, times in seconds.items()} | {"memory": max(memory)}


def works(name: str, trainer: DefaultTrainer, batches: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a training step and a decision of this name, to be timed."""
    run = trainer.run
    batches = [batch for batch, _ in zip(trainer.data.train, range(batches), strict=False)]
    scores = {layer: torch.rand_like(weight) for layer, weight in run.masks.weights.items()}
    keep = round((1 - LIMIT) * sum(score.numel() for score in scores.values()))

    def step() -> None:
        trainer.train_batch(*batches[0])

    def decide() -> None:
        run.criterion.prune(LIMIT, batches)

    if isinstance(run.criterion, DynamicSparse):  # whose start is random: the updates are what costs
        decide()
    return step, {STEP: step, SELECTION: lambda: select(scores, keep)}.get(name, decide)


def timed(work: Callable[[], None]) -> float:
    """How many seconds it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak(work: Callable[[], None]) -> float:
    """How far memory rises above what it was, in MiB, as Linux counts it."""
    process = Path("/proc/self")
    (process / "clear_refs").write_text("5")  # forgets the highest mark so far
    before = memory_mark("VmRSS")
    work()
    return memory_mark("VmHWM") - before


def memory_mark(name: str) -> float:
    """One of the marks of /proc/self/status, in MiB."""
    marks = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(marks[name].split()[0]) / 1024


def build_trainer(criterion: str, batch_size: int) -> DefaultTrainer:
    """Return the trainer of `main.py --model ResNet18 --prune_criterion <criterion>` on 32x32 images."""
    hooks, _problems = plugin_manager()
    registry = Registry(hooks)
    argv = (
        f"--model ResNet18 --data_set DIGITS --input_dim 3 32 32 --prune_criterion {criterion} --pruning_limit {LIMIT}"
    )
    argv += f" --batch_size {batch_size} --outer_layer_pruning --device cpu"
    return DefaultTrainer(assemble(parse(argv.split(), registry, hooks), registry, hooks))


if __name__ == "__main__":
    main()
