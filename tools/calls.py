"""Which tests concern which function: those that call it."""

from __future__ import annotations

import ast
import getpass
import hashlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Pool, run_tests, say

#: These look at the options of every class without calling anything of it.
OF_OPTIONS = ("tests/secateur/config/test_defaults.py",)
#: Tests are run under the tracer so many files at a time.
FILES_AT_A_TIME = 4


@dataclass
class Calls:
    """What a test calls: (file, first line) of functions, by the test's name; and its seconds."""

    functions: set[tuple[str, int]]
    seconds: float


class Tracer:
    """A pytest plugin that notes which functions of the tree each test that passes has called."""

    def __init__(self, root: Path, place: Path) -> None:
        self.root, self.place = f"{root}/", place
        self.tests: dict[str, dict[str, Any]] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run a test under the tracer."""
        codes: set[Any] = set()

        def trace(frame: Any, event: str, argument: Any) -> None:
            codes.add(frame.f_code)

        start = time.perf_counter()
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            own = {
                (code.co_filename.removeprefix(self.root), code.co_firstlineno)
                for code in codes
                if code.co_filename.startswith(self.root)
            }
            self.tests[item.nodeid] = {"functions": sorted(own), "seconds": time.perf_counter() - start}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what does not pass; what is skipped says nothing at all."""
        if report.outcome == "failed":
            self.failed.add(report.nodeid)
        elif report.outcome == "skipped":
            self.tests.pop(report.nodeid, None)

    def pytest_sessionfinish(self) -> None:
        """Write all that was found."""
        passed = {name: test for name, test in self.tests.items() if name not in self.failed}
        self.place.write_text(json.dumps({"passed": passed, "failed": sorted(self.failed)}))


def find_calls(pool: Pool, copy: Path, tests: list[str]) -> tuple[dict[str, Calls], list[str]]:
    """Return what the tests call, and which of them fail though nothing is changed.

    What was found is kept, a file of tests at a time, in the folder for temporary files.
    """
    files = [str(path.relative_to(copy)) for test in tests for path in _test_files(copy / test)]
    kept = _places(copy, files)
    missing = [file for file in files if not kept[file].exists()]
    for start in range(0, len(missing), FILES_AT_A_TIME):
        _trace(pool, missing[start : start + FILES_AT_A_TIME], kept, f"{start + 1} of {len(missing)}")
    pool.finish()
    calls, failing = {}, []
    for file in files:
        found = json.loads(kept[file].read_text()) if kept[file].exists() else {"passed": {}, "failed": [file]}
        failing += found["failed"]
        for name, test in found["passed"].items():
            calls[name] = Calls({(called, line) for called, line in test["functions"]}, test["seconds"])
    return calls, failing


def _trace(pool: Pool, files: list[str], kept: dict[str, Path], shown: str) -> None:
    """Run files of tests under the tracer, as soon as a copy of the tree is free, and keep what each has called."""

    def work(folder: Path) -> int:
        return run_tests(["-m", "not slow", *files], [Tracer(folder, Path(f"{folder}.json"))])

    def done(folder: Path, status: int | None) -> None:
        say(f"tests {shown}: {' '.join(files)}")
        place = Path(f"{folder}.json")
        if status not in (0, 1, 5) or not place.exists():
            say(Path(f"{folder}.log").read_text()[-2000:])
            return
        found = json.loads(place.read_text())
        place.unlink()
        for file in files:
            passed = {name: test for name, test in found["passed"].items() if name.partition("::")[0] == file}
            failed = [name for name in found["failed"] if name.partition("::")[0] == file]
            kept[file].write_text(json.dumps({"passed": passed, "failed": failed}))

    pool.start(work, 3600, done)


def _places(copy: Path, files: list[str]) -> dict[str, Path]:
    """Where what each file of tests calls is kept: as long as neither it nor anything but other tests changes."""
    folder = Path(tempfile.gettempdir()) / f"secateur_calls_{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    state = hashlib.sha256()
    for path in sorted([*copy.rglob("*.py"), copy / "pyproject.toml"]):
        name = path.relative_to(copy)
        if not (name.parts[0] == "tests" and name.name.startswith("test_")):
            state.update(f"{name}\0".encode() + path.read_bytes())
    found = {}
    for file in files:
        own = state.copy()
        own.update(f"{file}\0".encode() + (copy / file).read_bytes())
        found[file] = folder / f"{own.hexdigest()[:24]}.json"
    return found


def _test_files(place: Path) -> list[Path]:
    return sorted(place.rglob("test_*.py")) if place.is_dir() else [place]


def importers(file: str) -> set[str]:
    """The module itself and the files of the tree that import it."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    names = {module, f"secateur.{module}"}  # utils/ and the components are imported as secateur.utils, ...
    found = {file}
    for path in ROOT.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        if name.startswith((".", "tests/")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                if imported & names:
                    found.add(name)
    return found


def choose_tests(file: str, function: int | None, calls: dict[str, Calls], seconds: float) -> tuple[list[str], float]:
    """Return the tests of a function, or of what a module runs on import, up to so many seconds of them, and how long.

    The nearest come first, of these the ones that call fewest functions: they look closest.
    """
    if function is None:
        files = importers(file)
        those = [name for name, test in calls.items() if any(called in files for called, _ in test.functions)]
        those += [name for name in calls if name.partition("::")[0] in OF_OPTIONS]
    else:
        those = [name for name, test in calls.items() if (file, function) in test.functions]

    def distance(name: str) -> tuple[int, int]:
        place = Path(name.partition("::")[0])
        if place.stem.lower() == f"test_{Path(file).stem.lower()}" or str(place) in OF_OPTIONS:
            near = 0
        else:
            near = 1 if str(place.parent) == f"tests/{Path(file).parent}" else 2
        return near, len(calls[name].functions)

    chosen, total = [], 0.0
    for name in sorted(dict.fromkeys(those), key=distance):
        if not chosen or total + calls[name].seconds <= seconds:
            chosen.append(name)
            total += calls[name].seconds
    return chosen, total
