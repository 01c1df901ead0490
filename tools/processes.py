"""Copies of the tree, and processes that run tests in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Pool:
    """Copies of the tree, in each of which one process at a time runs tests."""

    def __init__(self, copies: list[Path]) -> None:
        self.free = copies
        #: By process: its copy, until when it may run, and what is called with its status.
        self.running: dict[int, tuple[Path, float, Callable[[int | None], None]]] = {}

    def start(self, work: Callable[[Path], int], limit: float, done: Callable[[Path, int | None], None]) -> None:
        """Run `work(copy)` in a process of its own as soon as there is a copy free; then `done(copy, its status)`."""
        while not self.free:
            self.wait()
        folder = self.free.pop()
        sys.stdout.flush()
        if process := os.fork():
            self.running[process] = folder, time.monotonic() + limit, lambda status: done(folder, status)
            return
        status = 3
        try:
            os.setsid()
            os.chdir(folder)
            with Path(f"{folder}.log").open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            status = work(folder)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def wait(self) -> None:
        """Wait until a process ends; one that is out of time is killed, with status None."""
        while True:
            for process, (folder, until, done) in list(self.running.items()):
                ended, status = os.waitpid(process, os.WNOHANG)
                late = not ended and time.monotonic() > until
                if ended or late:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process, signal.SIGKILL)  # what it has left running, too
                    if late:
                        os.waitpid(process, 0)
                    del self.running[process]
                    self.free.append(folder)
                    done(None if late else os.waitstatus_to_exitcode(status))
                    return
            time.sleep(0.02)

    def finish(self) -> None:
        """Wait for all."""
        while self.running:
            self.wait()


def run_tests(arguments: Iterable[str], plugins: Iterable[object] = ()) -> int:
    """Run pytest here, in the current folder; returns its status."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib"]
    options += ["--basetemp", f"{Path.cwd()}.tmp"]
    return int(pytest.main([*options, *arguments], plugins=list(plugins)))


def copy_tree(folder: Path) -> None:
    """Copy what git knows or would take, and compile it."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=False)


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
