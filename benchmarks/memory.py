"""How much memory a run takes, in units of its weights: dense and with SNIP, with and without states on disk.

    python3 benchmarks/memory.py

The network is MLP5 with hidden layers so wide that it has 100 million weights, 381 MiB; its activations are next to
nothing, so that what is measured is copies of the weights. Each row is a run of main.py in a process of its own, by SGD
with momentum 0.9, which keeps three of them: weights, gradients, momentum. ADAM keeps a fourth.

A row's process first makes the same run with a tiny network, so that what imports, caches and libraries take is there
before; peaks are those of the process (VmHWM of Linux) less what it had then. They are taken in turn: from the start to
the first pruning step (building the network), to the end of pruning (SNIP's scores and masks), to the end of training,
and to the end of the run (the last evaluation, checkpoints, the compacted network, pictures). States, where they are
written, are written before the first epoch and after each.

    python3 benchmarks/memory.py --scores

is what scores take on ResNet18, 3x32x32, by the size of a batch: its activations.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from secateur.cli import ENVIRONMENT
from secateur.hooks import hookimpl

#: Megabytes are those of the operating system.
MIB = 2**20
PHASES = ("building", "pruning", "training", "ending")
PRUNED = "--prune_criterion SNIP --pruning_limit 0.9 --outer_layer_pruning"


def main() -> None:
    """Measure each row and print the table; or, started by that, measure one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=5756, help="of the hidden layers: 100 million weights")
    parser.add_argument("--optimizers", nargs="+", default=["SGD"])
    parser.add_argument("--scores", action="store_true", help="measure SNIP's scores on ResNet18 instead")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[64, 512], help="with --scores")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        asked = json.loads(arguments.measure)
        sys.stdout.write(json.dumps(measured_scores(**asked) if arguments.scores else measured_run(**asked)) + "\n")
    elif arguments.scores:
        print_scores(arguments.batch_sizes)
    else:
        print_runs(arguments.width, arguments.optimizers)


def print_runs(width: int, optimizers: list[str]) -> None:
    """Print the table of whole runs."""
    table = Table(title=f"Peak memory of a run, MLP5 with hidden layers of {width:,}")
    for heading in ("optimizer", "pruning", "states", "weights", *PHASES, "most"):
        table.add_column(heading, justify="right")
    for optimizer in optimizers:
        for pruning in ("none", "SNIP"):
            for states in (False, True):
                found = apart(width=width, optimizer=optimizer, pruned=pruning == "SNIP", states=states)
                peaks = [f"{found[phase] / found['weights']:.2f} x" if phase in found else "" for phase in PHASES]
                most = max(found[phase] for phase in PHASES if phase in found)
                written = f"{found['state'] / MIB:,.0f} MiB" if states else "none"
                row = (optimizer, pruning, written, f"{found['weights'] / MIB:,.0f} MiB", *peaks)
                table.add_row(*row, f"{most / MIB:,.0f} MiB")
    Console(width=130).print(table)


def print_scores(sizes: list[int]) -> None:
    """Print the table of scores."""
    table = Table(title="Peak memory of SNIP's scores by 5 batches, ResNet18 on 3x32x32")
    for heading in ("images a batch", "MiB", "seconds"):
        table.add_column(heading, justify="right")
    for size in sizes:
        found = apart("--scores", batch_size=size)
        table.add_row(str(size), f"{found['bytes'] / MIB:,.0f}", f"{found['seconds']:.1f}")
    Console().print(table)


def apart(*flags: str, **asked: Any) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, *flags, "--measure", json.dumps(asked)]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{asked}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Marks:
    """Observes a run: the peak of each phase, in bytes beyond what there was when this was made."""

    def __init__(self) -> None:
        self.before = mark("VmRSS")
        self.peaks: dict[str, float] = {}
        forget()

    def end(self, phase: str) -> None:
        """Take in the peak since the last call."""
        self.peaks[phase] = max(self.peaks.get(phase, 0), mark("VmHWM") - self.before)
        forget()

    @hookimpl(trylast=True)
    def run_started(self, run: Any) -> None:
        """The network is there, and nothing was pruned."""
        self.peaks["weights"] = sum(one.numel() * one.element_size() for one in run.network.parameters())
        self.end("building")

    @hookimpl(trylast=True)
    def pruned(self) -> None:
        """Scores and masks are there, and all observers have looked at them."""
        self.end("pruning")

    @hookimpl(trylast=True)
    def on_save_state(self, run: Any) -> None:
        """A state is about to be written."""
        folder = run.folder.state
        sizes = [path.stat().st_size for path in folder.glob("*.safetensors")] if folder.exists() else [0]
        self.peaks["state"] = max(sizes)

    @hookimpl(trylast=True)
    def batch_finished(self, epoch: int, batch: int) -> None:
        """The first step of training is done, and what pruning has left is gone."""
        if (epoch, batch) == (0, 0):
            forget()

    @hookimpl(trylast=True)
    def epoch_finished(self) -> None:
        """One more pass over the training set."""
        self.end("training")

    @hookimpl(trylast=True)
    def run_finished(self) -> None:
        """All is written."""
        self.end("ending")


def measured_run(width: int, optimizer: str, pruned: bool, states: bool) -> dict[str, float]:
    """Return the peak of each phase of a run, the bytes of its weights and of its last state but one."""
    from secateur import cli
    from secateur.config.command_line import parse
    from secateur.config.registry import Registry
    from secateur.hooks import plugin_manager
    from secateur.runs.execute import execute
    from secateur.trainers.DefaultTrainer import DefaultTrainer

    if not states:
        DefaultTrainer.save_state = lambda _self: None
    with tempfile.TemporaryDirectory() as results, contextlib.redirect_stdout(sys.stderr):
        command = f"--model MLP5 --N 128 --batch_size 32 --epochs 3 --save_minutes 0 --optimizer {optimizer} "
        command += f"--learning_rate 1e-3 --device cpu --results_dir {results} {PRUNED if pruned else ''}"
        if cli.main([*command.split(), "--hidden_dim", "8"]):
            raise SystemExit(1)
        marks = Marks()
        hooks, _problems = plugin_manager()
        hooks.register(marks)
        registry = Registry(hooks)
        argv = [*command.split(), "--hidden_dim", str(width)]
        execute(parse(argv, registry, hooks), registry, hooks, argv)
    return marks.peaks


def measured_scores(batch_size: int) -> dict[str, float]:
    """Return the peak of SNIP's scores by five batches of so many images, and their seconds."""
    import time

    import torch

    from secateur.criterions.SNIP import SNIP
    from secateur.models.ResNet18 import ResNet18
    from secateur.pruning.masks import Masks

    network = ResNet18(input_shape=(3, 32, 32), num_classes=10)
    masks = Masks(network)
    criterion = SNIP(network, masks, torch.nn.functional.cross_entropy, list(masks.weights))
    criterion.scores([(torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64))])
    batches = [(torch.rand(batch_size, 3, 32, 32), torch.randint(10, (batch_size,))) for _ in range(5)]
    marks, start = Marks(), time.perf_counter()
    criterion.scores(batches)
    seconds = time.perf_counter() - start
    marks.end("scores")
    return {"bytes": marks.peaks["scores"], "seconds": seconds}


def mark(name: str) -> float:
    """One of the marks of /proc/self/status, in bytes."""
    marks = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(marks[name].split()[0]) * 1024


def forget() -> None:
    """Let the highest mark begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
