"""Puts small bugs into a copy of the tree, one at a time, and lists those that no test notices.

    python3 tools/mutate.py secateur/pruning --sample 40 --seed 0

Each mutant is one change, as of `<` to `<=` or a statement that is left out (see mutations.py). The tests that concern
it are those that run its statement; of what a module runs when it is imported, those that run anything of the module or
of one that imports it. Which run which is found by running the tests (`--tests`, all that are not marked slow) once
under a tracer, and kept in the folder for temporary files until the code or the test changes. Tests that fail then, as
they may for want of a git repository, have no say. Of the others the cheapest are run first, up to `--seconds` of them,
until one fails: in forks of a process that has collected all tests, whose functions run the changed code; what shows on
import alone is imported anew.

A mutant that survives is a fault of the tests, or equal to the original in all that can be seen: judge each by hand.
The checkout is only read: every file is changed in a copy. With `--results` and `--minutes` a long measurement is taken
in parts: what stands in the file is not tried again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tested_lines
from mutations import Mutation, mutations
from processes import ROOT, Collected, collect, copy_tree, fork, in_parallel, run_tests, say
from replacing import Imported, needs_import

#: Imported once, before all others: what a test imports it need not load again.
PRELOADED = (
    *("torch", "torch.utils.tensorboard", "torch.utils.flop_counter", "torch._dynamo"),
    *("numpy", "sklearn.datasets", "safetensors.torch", "matplotlib.figure", "rich.progress", "PIL.Image"),
)

#: So many files of tests are collected first where all has to be imported anew, as most mutants die by them.
NEAREST = 3


@dataclass(frozen=True)
class Mutant:
    """A change of a file."""

    place: str
    file: str
    source: str
    mutation: Mutation

    @property
    def key(self) -> str:
        """What it is known by among the results: as long as its file is the same."""
        said = f"{self.file}\0{self.source}\0{self.mutation}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        change = "  ->  ".join(" ".join(text.split())[:100] for text in (self.mutation.before, self.mutation.after))
        return f"{self.file}:{self.mutation.line}  {change}"


class Results:
    """Lines of a file, one a mutant: its key, and what became of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        """Return what became of each mutant, by its key."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return dict(json.loads(line) for line in lines)

    def add(self, mutant: Mutant, verdict: str) -> None:
        """Keep and tell what became of a mutant."""
        with self.path.open("a") as file:
            file.write(json.dumps([mutant.key, verdict]) + "\n")
        say(f"{verdict}: {mutant}")


class Trial:
    """Tries mutants in the current folder, a copy of the tree."""

    def __init__(
        self, mutants: list[Mutant], tests: dict[str, tested_lines.Tested], results: Results, asked: argparse.Namespace
    ) -> None:
        self.folder = Path.cwd()
        self.tests, self.results, self.asked = tests, results, asked
        self.anew = [mutant for mutant in mutants if needs_import(mutant.source, mutant.mutation)]
        self.replaced = [mutant for mutant in mutants if mutant not in self.anew]

    def run(self) -> None:
        """Try all: first those that need a process that has not imported what they change."""
        for mutant in self.anew:
            self._try(mutant, self._import_anew)
        names = [name for mutant in self.replaced for name in self._tests(mutant)[0]]
        files = sorted({name.partition("::")[0] for name in names})
        if files and time.monotonic() < self.asked.until:
            collect(files, self._try_replaced)
        else:
            self._try_replaced(None)

    def _tests(self, mutant: Mutant) -> tuple[list[str], float]:
        return tested_lines.choose(mutant.file, mutant.mutation, self.tests, self.asked.seconds)

    def _import_anew(self, names: list[str]) -> int:
        os.environ["NUMBA_CACHE_DIR"] = f"{self.folder}.numba"  # what is compiled holds functions of other files
        shutil.rmtree(f"{self.folder}.numba", ignore_errors=True)
        files = list(dict.fromkeys(name.partition("::")[0] for name in names))
        nearest = [name for name in names if name.partition("::")[0] in files[:NEAREST]]
        others = [name for name in names if name not in nearest]
        return run_tests(["-x", *nearest]) or (run_tests(["-x", *others]) if others else 0)

    def _try_replaced(self, collected: Collected | None) -> None:
        imported = Imported(self.folder)

        def run(mutant: Mutant, names: list[str]) -> int:
            imported.replace(self.folder / mutant.file, mutant.mutation.applied(mutant.source))
            return collected.run(names)

        for mutant in self.replaced:
            self._try(mutant, partial(run, mutant))

    def _try(self, mutant: Mutant, run: Callable[[list[str]], int]) -> None:
        if time.monotonic() > self.asked.until:
            return
        names, expected = self._tests(mutant)
        if not names:
            self.results.add(mutant, "survives: no test runs it")
            return
        path = self.folder / mutant.file
        path.write_text(mutant.mutation.applied(mutant.source), encoding="utf-8")
        os.utime(path, (1, int(mutant.key, 16) % 10**9))  # no compiled file has this time
        start = time.monotonic()
        status = fork(lambda: run(names), expected, Path(f"{self.folder}.log"))
        shutil.copy2(ROOT / mutant.file, path)
        verdict = f"survives: {len(names)} tests pass" if status == 0 else "hangs" if status is None else "dies"
        self.results.add(mutant, f"{verdict} in {time.monotonic() - start:.1f} s")


def choose_mutants(place: str, sample: int, seed: int) -> list[Mutant]:
    """Return so many mutants of a file or a folder."""
    files = sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
    known = []
    for path in files:
        source = path.read_text(encoding="utf-8")
        known += [Mutant(place, str(path.relative_to(ROOT)), source, one) for one in mutations(source)]
    count = min(sample or len(known), len(known))
    say(f"{place}: {count} of {len(known)} mutants")
    return random.Random(seed).sample(known, count)


def summarise(sample: list[Mutant], found: dict[str, str]) -> None:
    """Tell how many of each place die, and which survive."""
    tried, dead = Counter(), Counter()
    survivors = []
    for mutant in sorted(sample, key=lambda one: (one.place, one.file, one.mutation.line, one.mutation.start)):
        if verdict := found.get(mutant.key):
            tried[mutant.place] += 1
            dead[mutant.place] += not verdict.startswith("survives")
            if verdict.startswith("survives"):
                survivors.append(f"  {mutant}  ({verdict.partition(': ')[2]})")
    say("survivors:\n" + "\n".join(survivors) if survivors else "no survivors")
    width = max(map(len, tried), default=0)
    for place, count in tried.items():
        say(f"{place:{width}}  {dead[place]:4} of {count:4} die")
    if left := len(sample) - tried.total():
        say(f"{left} are not tried yet")
    say(f"{dead.total()} of {tried.total()} mutants die: {100 * dead.total() / max(tried.total(), 1):.1f} %")


def main() -> None:
    """Choose mutants, try them, and list the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", help="files and folders, as secateur/pruning")
    parser.add_argument("--sample", type=int, default=40, help="mutants to try, of each place; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="chooses which")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="files and folders of tests")
    parser.add_argument("--seconds", type=float, default=30.0, help="run tests of so long for each mutant")
    parser.add_argument("--preload", nargs="*", default=PRELOADED, help="modules to import once for all")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--results", type=Path, help="file to keep what became of each mutant in")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so long")
    asked = parser.parse_args()
    asked.until = time.monotonic() + 60 * asked.minutes
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sample = [one for place in asked.places for one in choose_mutants(place, asked.sample, asked.seed)]
    for name in asked.preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="secateur_mutants_") as folder:
        copies = [Path(folder) / str(number) for number in range(asked.jobs)]
        for copy in copies:
            copy_tree(copy)
        files = [
            str(path.relative_to(copies[0])) for test in asked.tests for path in tested_lines.files(copies[0] / test)
        ]
        kept = tested_lines.places(copies[0], files)
        missing = [file for file in files if not kept[file].exists()]

        def record(share: list[str]) -> None:
            collect(share, lambda collected: tested_lines.record(collected, share, kept, asked.until))

        in_parallel(copies, missing, record)
        if not all(place.exists() for place in kept.values()):
            say("there was no time to run all tests once: call me again")
            return
        tests, failing = tested_lines.read(kept)
        say(f"{len(tests)} tests; {len(failing)} fail without a change and have no say: {' '.join(failing[:10])}")
        results = Results(asked.results or Path(folder) / "results")
        before = results.read()
        left = [one for one in sample if one.key not in before]
        in_parallel(copies, left, lambda share: Trial(share, tests, results, asked).run())
        summarise(sample, results.read())


if __name__ == "__main__":
    main()
