"""Kills runs at random moments and resumes them, for tests/resuming: a program of its own, which forks.

Reads lines of JSON, [RESULTS, SEED, KILLS, SIGNALS, COMMAND], and makes the run of each command below RESULTS: once as
`whole`, which is left alone, and for each of the SIGNALS, as in ["SIGKILL", "SIGTERM"], as `killed`, which gets that on
its way to the end; again where it comes there before it was killed so often. Prints how each process ended, and the
last state that it found; then END.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["OMP_NUM_THREADS"] = "1"

import matplotlib.pyplot  # noqa: E402, F401 - the children need not import it again
import sklearn.datasets  # noqa: E402, F401
import torch.utils.tensorboard  # noqa: E402, F401

import secateur.measuring.latency  # noqa: E402
import secateur.runs.execute  # noqa: E402
from secateur import cli  # noqa: E402
from secateur.runs.resuming import has_finished  # noqa: E402

secateur.measuring.latency.MOST_TIMES = 1
os.fsync = lambda descriptor: None  # the system outlives what is killed, and with it what was written


def start(command: str) -> int:
    """Call main.py in a process of its own; returns its id."""
    child = os.fork()  # has no alarm
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
        try:
            status = cli.main(command.split())
        except SystemExit as ended:
            status = ended.code
        finally:
            os._exit(status)
    return child


def make_whole(results: Path, command: str) -> float:
    """Make the run that nobody disturbs; returns its seconds."""
    began = time.perf_counter()
    assert os.waitpid(start(f"{command} --run_name whole --results_dir {results}"), 0)[1] == 0
    return time.perf_counter() - began


def make_killed(results: Path, generator: random.Random, kills: int, number: int, command: str, whole: float) -> None:
    """Make the run that is killed."""
    killed = signal.SIGKILL if number == signal.SIGKILL else (128 + number) << 8  # the others are an orderly end
    going = True
    while going or kills:
        folder = next((path for path in results.glob("*_killed*") if not has_finished(path)), None)
        if folder and not (folder / "output" / "log.txt").exists():
            shutil.rmtree(folder)  # killed before it was the folder of a run
            folder = None
        found = sorted((folder / "state").glob("*.json")) if folder else []
        how = f"--resume {folder.name}" if folder else f"{command} --run_name killed"
        child = start(f"{how} --results_dir {results}")
        if kills:
            time.sleep(generator.uniform(0.1, 0.8) * whole)
            os.kill(child, number)
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{how.split()[0]} from {found[-1].stem if found else 'the beginning'}: {status}\n")
        sys.stdout.flush()  # before the next fork, which would write it again
        if status not in (0, killed):
            raise SystemExit(f"{how} ended with {status}")
        kills -= status == killed
        going = status == killed


def main() -> None:
    """Read what is wanted, and do it."""
    for line in sys.stdin:
        signal.alarm(500)  # ends this program where a run hangs
        place, seed, count, names, words = json.loads(line)
        needed, numbers = make_whole(Path(place), words), random.Random(seed)
        for name in names:
            make_killed(Path(place), numbers, count, signal.Signals[name], words, needed)
        signal.alarm(0)
        sys.stdout.write("END\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
