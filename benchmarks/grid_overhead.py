"""What a grid costs beyond its runs, and what running several at a time is worth.

    python3 benchmarks/grid_overhead.py --runs 30 --epochs 100

runs one grid with each number of `--jobs` and reads from the run folders how long each run took by itself, from the
making of its parts to its last file, a picture. What the grid's whole time has beyond that, importing torch once,
starting processes, keeping the index, is the overhead: 1 - sum of the runs' seconds / (jobs * seconds of the grid). The
ratio is of runs a minute to those of the first row. With one job a run has all cores; with several they share them.
"""

import argparse
import json
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
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="runs at a time, a grid for each")
    parser.add_argument("--model", default="LeNet5")
    parser.add_argument("--data_set", default="DIGITS")
    arguments = parser.parse_args()
    table = Table(
        title=f"{arguments.runs} runs of {arguments.model} on {arguments.data_set}, {arguments.epochs} epochs"
    )
    for heading in ("jobs", "grid, s", "a run, s", "overhead", "runs a minute", "ratio"):
        table.add_column(heading, justify="right")
    first = None
    for jobs in arguments.jobs:
        whole, runs = measured(jobs, arguments)
        rate = 60 * len(runs) / whole
        first = first or rate
        overhead = 1 - sum(runs) / (jobs * whole)
        row = (
            f"{whole:.1f}",
            f"{sum(runs) / len(runs):.2f}",
            f"{overhead:.1%}",
            f"{rate:.2f}",
            f"{rate / first:.2f} x",
        )
        table.add_row(str(jobs), *row)
    Console().print(table)


def measured(jobs: int, arguments: argparse.Namespace) -> tuple[float, list[float]]:
    """Run a grid; return its seconds and those of each of its runs."""
    seeds = ",".join(map(str, range(arguments.runs)))
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, str(ROOT / "main.py"), "--results_dir", results, "--jobs", str(jobs)]
        command += [f"--{flag}={getattr(arguments, flag)}" for flag in ("model", "data_set", "epochs")]
        started = time.perf_counter()
        done = subprocess.run([*command, "--seed", seeds], capture_output=True, text=True, check=False)
        whole = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return whole, [seconds_of(path) for path in Path(results).glob("grid_*/*/output/results.json")]


def seconds_of(results: Path) -> float:
    """From the making of a run's parts to its last file; results.json says how long it took to come there."""
    begun = results.stat().st_mtime - json.loads(results.read_text())["seconds"]
    return max(path.stat().st_mtime for path in results.parent.parent.rglob("*")) - begun


if __name__ == "__main__":
    main()
