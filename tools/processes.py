"""A copy of the tree, and processes in it: one that has collected the tests, and its forks that run some of them."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Bytes that a fork may hold more than the process that it comes from: a size that is changed soon fills a machine.
MOST_MEMORY = 6 << 30
#: Processor time that a fork is given, and the time by the clock, in multiples of what its tests took and in seconds
#: more: what takes longer hangs.
PATIENCE, GRACE, WAITING = 5, 15, 500


def fork(work: Callable[[], int], expected: float, log: Path) -> int | None:
    """Return the status of `work` in a process of its own, or None: it hung. What it writes goes to the log."""
    sys.stdout.flush()
    limit = int(PATIENCE * expected + GRACE)
    process = os.fork()
    if not process:
        _be_a_fork(work, limit, log)
    until, ended, status = time.monotonic() + limit + WAITING, 0, 0
    try:
        while not ended and time.monotonic() < until:
            ended, status = os.waitpid(process, os.WNOHANG)
            time.sleep(0.005)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)  # what it has left running, too
        if not ended:
            os.waitpid(process, 0)
    hung = not ended or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    return None if hung else os.waitstatus_to_exitcode(status)


def _be_a_fork(work: Callable[[], int], limit: int, log: Path) -> None:
    status = 3
    try:
        os.setsid()
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        own = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (own + MOST_MEMORY, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + limit, resource.RLIM_INFINITY))
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def in_parallel(folders: list[Path], things: list[Any], work: Callable[[list[Any]], None]) -> None:
    """Share out things among processes, each in a folder of its own; returns when all have ended."""
    running = []
    for number, folder in enumerate(folders):
        share = things[number :: len(folders)]
        sys.stdout.flush()
        if not share:
            continue
        if process := os.fork():
            running.append(process)
            continue
        status = 1
        try:
            os.chdir(folder)
            work(share)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    statuses = [os.waitpid(process, 0)[1] for process in running]
    if any(statuses):
        raise SystemExit("error: a process of the tool itself has failed")


class Collected:
    """A pytest plugin that lets `work` have the tests, by name, instead of running them."""

    def __init__(self, work: Callable[[Collected], None]) -> None:
        self.work = work
        self.items: dict[str, pytest.Item] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do the work in the place of the loop over all tests."""
        self.session = session
        self.items = {item.nodeid: item for item in session.items}
        self.work(self)
        return True

    def run(self, names: list[str], to_the_end: bool = False) -> int:
        """Run tests here, in a fork, until the first fails; returns whether any did."""
        self.session.config.pluginmanager.unregister(name="terminalreporter")
        items = [self.items[name] for name in names]
        for item, following in itertools.zip_longest(items, items[1:]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.session.testsfailed and not to_the_end:
                break
        return int(self.session.testsfailed > 0)


def collect(files: list[str], work: Callable[[Collected], None]) -> None:
    """Collect the tests of these files here, and let `work` have them."""
    status = run_tests(files, [Collected(work)])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit("error: the tests cannot be collected")


def run_tests(arguments: Iterable[str], plugins: Iterable[object] = ()) -> int:
    """Run pytest here, in the current folder; returns its status."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib", "-q"]
    options += ["--basetemp", f"{Path.cwd()}.tmp", "-m", "not slow"]
    if importlib.util.find_spec("hypothesis"):
        options.append("--hypothesis-seed=0")
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
