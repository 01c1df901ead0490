"""Which tests run which lines, and which of them to run for a change."""

from __future__ import annotations

import ast
import functools
import getpass
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
import types
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mutations import Mutation
from processes import ROOT, Collected, fork, say

#: These look at the options of every class without calling anything of it.
OF_OPTIONS = ("tests/secateur/config/test_defaults.py",)
#: A test far from what is changed costs so many times its seconds when the next one is chosen.
FARNESS = {"namesake": 1, "beside": 2, "elsewhere": 4}


@dataclass
class Tested:
    """What a test runs: for each file the lines, as the bits of a number; and its seconds of a processor."""

    lines: dict[str, int]
    seconds: float

    def runs(self, file: str, lines: range) -> bool:
        """Whether it runs one of these lines."""
        return bool(self.lines.get(file, 0) >> lines.start & ((1 << len(lines)) - 1))


def _processor_seconds() -> float:
    """Return what this process and those that it has waited for have used, however busy the machine is."""
    return sum(os.times()[:4])


class Running:
    """A code object, and those of its lines that have not run yet."""

    def __init__(self, code: types.CodeType) -> None:
        self.code = code
        self.known = {line for *_, line in code.co_lines() if line}
        if not code.co_name.startswith("<") and len(self.known) > 1:
            self.known.discard(code.co_firstlineno)  # the line of `def` is run by what holds it
        self.left = set(self.known)
        seen = self.left.discard

        def trace(frame: Any, event: str, argument: Any) -> Any:
            seen(frame.f_lineno)
            return trace

        self.trace = trace


class Recorder:
    """A pytest plugin that notes the lines of a folder that run in tests and in what they share with other tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = f"{folder}/"
        self.now: dict[int, Running] = {}
        #: Lines of fixtures that are set up once for several tests, by the fixture.
        self.shared: dict[Any, list[dict[int, Running]]] = defaultdict(list)
        self.tests: dict[str, tuple[dict[int, Running], float, list[Any]]] = {}
        self.failed: set[str] = set()

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        """Trace the lines of the folder alone, and those of a code object until all have been seen."""
        code = frame.f_code
        if not code.co_filename.startswith(self.folder):
            return None
        running = self.now.get(id(code))  # its hash is that of all that it holds: too slow to look it up by
        if running is None:
            running = self.now[id(code)] = Running(code)
        return running.trace if running.left else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run a test under the tracer."""
        start = _processor_seconds()
        self.now = {}
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            fixtures = [one for found in item._fixtureinfo.name2fixturedefs.values() for one in found]
            self.tests[item.nodeid] = self.now, _processor_seconds() - start, fixtures

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Note for all tests that share it what a fixture runs."""
        if fixturedef.scope == "function":
            return (yield)
        before, self.now = self.now, {}
        try:
            return (yield)
        finally:
            self.shared[fixturedef].append(self.now)
            self.now = before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what does not pass; what is skipped says nothing at all."""
        if report.outcome == "failed":
            self.failed.add(report.nodeid)
        elif report.outcome == "skipped":
            self.tests.pop(report.nodeid, None)

    def write(self, place: Path) -> None:
        """Write all that was found; a line is a bit of a hexadecimal number."""
        passed = {}
        for name, (own, seconds, fixtures) in self.tests.items():
            bits: dict[str, int] = defaultdict(int)
            for found in [own, *(part for fixture in fixtures for part in self.shared.get(fixture, []))]:
                for one in found.values():
                    ran = sum(1 << line for line in one.known - one.left)
                    bits[one.code.co_filename.removeprefix(self.folder)] |= ran
            if name not in self.failed:
                passed[name] = {"lines": {file: f"{lines:x}" for file, lines in bits.items()}, "seconds": seconds}
        files = {file for test in passed.values() for file in test["lines"] if not file.startswith("tests/")}
        sources = {file: _checksum(Path(self.folder) / file) for file in sorted(files)}
        place.write_text(json.dumps({"passed": passed, "failed": sorted(self.failed), "sources": sources}))


def record(collected: Collected, share: list[str], kept: dict[str, Path], until: float) -> None:
    """Run each file of tests once in a process of its own, and keep which lines each test runs."""
    names = defaultdict(list)
    for name in collected.items:
        names[name.partition("::")[0]].append(name)
    for number, file in enumerate(share, start=1):
        if time.monotonic() > until:
            return

        def work(file: str = file) -> int:
            recorder = Recorder(Path.cwd())
            collected.session.config.pluginmanager.register(recorder)
            collected.run(names[file], to_the_end=True)
            recorder.write(kept[file])
            return 0

        start = time.monotonic()
        status = fork(work, 3600, Path(f"{Path.cwd()}.log"))
        say(f"lines of {file} ({number} of {len(share)}): {time.monotonic() - start:.0f} s")
        if status != 0:
            say(Path(f"{Path.cwd()}.log").read_text()[-2000:])
            kept[file].write_text(json.dumps({"passed": {}, "failed": [file], "sources": {}}))


def read(kept: dict[str, Path]) -> tuple[dict[str, Tested], list[str]]:
    """Return what each test runs, and the tests that fail though nothing is changed."""
    tests, failing = {}, []
    for place in kept.values():
        found = json.loads(place.read_text())
        failing += found["failed"]
        for name, one in found["passed"].items():
            tests[name] = Tested({file: int(bits, 16) for file, bits in one["lines"].items()}, one["seconds"])
    return tests, failing


def places(copy: Path, names: list[str]) -> dict[str, Path]:
    """Where what each file of tests runs is kept; what has changed since it was found is deleted."""
    folder = Path(tempfile.gettempdir()) / f"secateur_tested_lines_{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    shared = "".join(map(_checksum, [copy / "pyproject.toml", *sorted((copy / "tests").rglob("conftest.py"))]))
    found = {}
    for name in names:
        helpers = sorted(_helpers(copy, copy / name))
        state = "".join([shared, name, *map(_checksum, [copy / name, *helpers])])
        own = hashlib.sha256(state.encode()).hexdigest()
        place = found[name] = folder / f"{own[:24]}.json"
        sources = json.loads(place.read_text())["sources"] if place.exists() else {}
        if any(not (copy / file).exists() or _checksum(copy / file) != checksum for file, checksum in sources.items()):
            place.unlink()
    return found


@functools.cache
def _helpers(copy: Path, file: Path) -> set[Path]:
    """What a file of tests imports of the folder tests/, directly or not."""
    names = re.findall(r"^from (tests[\w.]*) import", file.read_text(encoding="utf-8"), re.MULTILINE)
    own = {path for name in names if (path := copy / f"{name.replace('.', '/')}.py").exists()}
    return own.union(*(_helpers(copy, path) for path in own))


@functools.cache
def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(place: Path) -> list[Path]:
    """Return the files of tests below a folder."""
    return sorted(place.rglob("test_*.py")) if place.is_dir() else [place]


@functools.cache
def importers(file: str) -> set[str]:
    """The module itself and the files of the tree that import it, tests included."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    names = {module, f"secateur.{module}"}  # utils/ and the components are imported as secateur.utils, ...
    found = {file}
    for path in ROOT.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if name.startswith("."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                if imported & names:
                    found.add(name)
    return found


def choose(file: str, mutation: Mutation, tests: dict[str, Tested], seconds: float) -> tuple[list[str], float]:
    """Return the tests that run what is changed, up to so many seconds of them, and how long they take.

    Of what a module runs when it is imported, and of what numba compiles, whose lines no tracer sees: those that run
    anything of it or of a module that imports it. The cheapest come first, near ones before others, and one that has no
    like among those before: in another file of tests, or by other lines of the file that is changed.
    """
    if mutation.function is None or _is_compiled(file):
        own = importers(file)
        those = [name for name, test in tests.items() if own & test.lines.keys()]
        those += [name for name in tests if name.partition("::")[0] in OF_OPTIONS]
    else:
        those = [name for name, test in tests.items() if test.runs(file, mutation.lines)]
    spent: dict[tuple[str, int], float] = defaultdict(float)
    rank = {}
    for name in sorted(set(those), key=lambda name: (tests[name].seconds, name)):
        place = name.partition("::")[0]
        alike = place, tests[name].lines.get(file, 0)
        spent[alike] += tests[name].seconds
        rank[name] = FARNESS[_nearness(Path(place), Path(file))] * spent[alike]
    chosen, total = [], 0.0
    for name in sorted(rank, key=rank.__getitem__):
        if not chosen or total + tests[name].seconds <= seconds:
            chosen.append(name)
            total += tests[name].seconds
    return chosen, total


@functools.cache
def _is_compiled(file: str) -> bool:
    return "from numba import" in (ROOT / file).read_text(encoding="utf-8")


def _nearness(test: Path, file: Path) -> str:
    if test.stem.lower() == f"test_{file.stem.lower()}" or str(test) in OF_OPTIONS:
        return "namesake"
    return "beside" if str(test.parent) == f"tests/{file.parent}" else "elsewhere"
