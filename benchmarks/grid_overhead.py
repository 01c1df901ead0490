"""What a grid costs beyond its runs, and what running several at a time is worth.

    python3 benchmarks/grid_overhead.py

runs one grid with each number of `--jobs`, and a few of the same runs by hand: each as a command of its own, one after
another, from its start to its end as a user waits for it.

A run's own time within a grid is from the making of its parts to its last file, a picture; it is read from the run
folder. What the grid takes beyond that is the overhead: checking the runs, importing torch once, starting and
ending processes, keeping the index, and with several jobs the time in which the last runs leave a core idle. It is
1 - sum of the runs' own seconds / (jobs * seconds of the grid). That leaves out what every command by hand pays and a
grid only once, so "of by hand" compares the grid's whole time with that of as many commands by hand.

"Ratio" is of runs a minute to those of the first row. With one job a run has all cores; with several they share them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the grids and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30, help="runs of each grid")
    parser.add_argument("--epochs", type=int, default=100, help="how long a run is")
    parser.add_argument("--by_hand", type=int, default=3, help="runs as commands of their own")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="runs at a time, a grid for each")
    parser.add_argument("--model", default="LeNet5")
    parser.add_argument("--data_set", default="DIGITS")
    arguments = parser.parse_args()
    table = Table(
        title=f"{arguments.runs} runs of {arguments.model} on {arguments.data_set}, {arguments.epochs} epochs"
    )
    for heading in ("jobs", "grid, s", "a run, s", "overhead", "of by hand", "runs a minute", "ratio"):
        table.add_column(heading, justify="right")
    hand = by_hand(arguments)
    table.add_row("by hand", "", f"{hand:.2f}", "", "", f"{60 / hand:.2f}", "")
    first = None
    for jobs in arguments.jobs:
        whole, runs = measured(jobs, arguments)
        rate = 60 * len(runs) / whole
        first = first or rate
        row = (
            f"{whole:.1f}",
            f"{sum(runs) / len(runs):.2f}",
            f"{1 - sum(runs) / (jobs * whole):.1%}",
            f"{whole / (len(runs) * hand):.1%}",
            f"{rate:.2f}",
            f"{rate / first:.2f} x",
        )
        table.add_row(str(jobs), *row)
    Console().print(table)


def by_hand(arguments: argparse.Namespace) -> float:
    """Make a few of the runs one after another; return the mean of their commands' seconds."""
    with tempfile.TemporaryDirectory() as results:
        return statistics.mean(called(arguments, results, "--seed", str(seed)) for seed in range(arguments.by_hand))


def measured(jobs: int, arguments: argparse.Namespace) -> tuple[float, list[float]]:
    """Run a grid; return its seconds and those of each of its runs."""
    seeds = ",".join(map(str, range(arguments.runs)))
    with tempfile.TemporaryDirectory() as results:
        whole = called(arguments, results, "--jobs", str(jobs), "--seed", seeds)
        return whole, [seconds_of(path) for path in Path(results).glob("grid_*/*/output/results.json")]


def called(arguments: argparse.Namespace, results: str, *flags: str) -> float:
    """Call main.py; return how long it took."""
    command = [sys.executable, str(ROOT / "main.py"), "--results_dir", results, *flags]
    command += [f"--{flag}={getattr(arguments, flag)}" for flag in ("model", "data_set", "epochs")]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - started


def seconds_of(results: Path) -> float:
    """From the making of a run's parts to its last file; results.json says how long it took to come there."""
    begun = results.stat().st_mtime - json.loads(results.read_text())["seconds"]
    return max(path.stat().st_mtime for path in results.parent.parent.rglob("*")) - begun


if __name__ == "__main__":
    main()
