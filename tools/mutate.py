"""Puts small bugs into a copy of the tree, one at a time, and lists those that no test notices.

    python3 tools/mutate.py secateur/pruning --sample 40 --seed 0

Each mutant is one change, as of `<` to `<=` or a statement that is left out (see mutations.py). The tests that concern
it are those that call its function; of what a module runs when it is imported, those that call any function of the
module or of one that imports it. Which call which is found by running the tests (`--tests`, all that are not marked
slow) once under a tracer, and kept in the folder for temporary files until the code or the test changes. Tests that
fail then, as they may for want of a git repository, have no say. Of the others the nearest are run, up to `--seconds`
of them, until one fails.

A mutant that survives is a fault of the tests, or equal to the original in all that can be seen: judge each by hand.
The checkout is only read: every file is changed in a copy.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from calls import Calls, choose_tests, find_calls
from mutations import Mutation, mutations
from processes import ROOT, Pool, copy_tree, run_tests, say

#: Imported once, before all others: what a test imports it need not load again.
PRELOADED = (
    *("torch", "torch.utils.tensorboard", "torch.utils.flop_counter", "torch._dynamo"),
    *("numpy", "sklearn.datasets", "safetensors.torch", "matplotlib.figure", "rich.progress", "PIL.Image"),
)
#: A mutant whose tests take so many times as long as without it, and these seconds more, hangs: it is noticed.
PATIENCE, GRACE = 10, 60


def try_mutants(
    pool: Pool, sample: list[tuple[str, Mutation]], calls: dict[str, Calls], seconds: float
) -> list[tuple[str, Mutation, str]]:
    """Try each mutant; returns those that survive, with why."""
    survivors: list[tuple[str, Mutation, str]] = []
    _check_without_change(pool, sample, calls, seconds)
    for number, (file, mutation) in enumerate(sample, start=1):
        tests, expected = choose_tests(file, mutation.function, calls, seconds)
        shown = f"{number}/{len(sample)} {file}:{mutation.line}  {_one_line(mutation)}"
        if not tests:
            survivors.append((file, mutation, "no test runs it"))
            say(f"SURVIVES, no test runs it: {shown}")
            continue
        source = (ROOT / file).read_text(encoding="utf-8")

        def work(folder: Path, file=file, mutation=mutation, tests=tests, source=source, number=number) -> int:  # noqa: ANN001
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            (folder / file).write_text(mutation.applied(source), encoding="utf-8")
            os.utime(folder / file, (number, number))  # no compiled file has this time
            return run_tests(["-x", *tests])

        def done(folder: Path, status: int | None, file=file, mutation=mutation, tests=tests, shown=shown) -> None:  # noqa: ANN001
            shutil.copy2(ROOT / file, folder / file)
            if status == 0:
                survivors.append((file, mutation, f"{len(tests)} tests pass"))
            word = "SURVIVES" if status == 0 else "hangs" if status is None else "dies"
            say(f"{word}: {shown}")

        pool.start(work, PATIENCE * expected + GRACE, done)
    pool.finish()
    return sorted(survivors, key=lambda one: (one[0], one[1].line))


def _check_without_change(
    pool: Pool, sample: list[tuple[str, Mutation]], calls: dict[str, Calls], seconds: float
) -> None:
    """End where tests fail for another reason than a change, as where a package is missing by now."""

    def work(_: Path, tests: list[str]) -> int:
        return run_tests(["-x", *tests])

    def done(folder: Path, status: int | None) -> None:
        if status:
            say(Path(f"{folder}.log").read_text()[-2000:])
            raise SystemExit("error: tests that passed before fail now, without any change")

    for file, mutation in sample[:2]:
        tests, expected = choose_tests(file, mutation.function, calls, seconds)
        if tests:
            pool.start(partial(work, tests=tests), PATIENCE * expected + GRACE, done)
    pool.finish()


def _one_line(mutation: Mutation) -> str:
    return "  ->  ".join(" ".join(text.split())[:100] for text in (mutation.before, mutation.after))


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
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen: dict[str, list[tuple[str, Mutation]]] = {}
    for place in asked.places:
        files = sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
        names = [str(path.relative_to(ROOT)) for path in files]
        known = [(name, one) for name in names for one in mutations((ROOT / name).read_text(encoding="utf-8"))]
        count = min(asked.sample or len(known), len(known))
        chosen[place] = random.Random(asked.seed).sample(known, count)
        say(f"{place}: {count} of {len(known)} mutants")
    for name in asked.preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="secateur_mutants_") as folder:
        copies = [Path(folder) / str(number) for number in range(asked.jobs)]
        for copy in copies:
            copy_tree(copy)
        pool = Pool(list(copies))
        calls, failing = find_calls(pool, copies[0], asked.tests)
        say(f"{len(calls)} tests; {len(failing)} fail without a change and have no say: {' '.join(failing[:10])}")
        told, tried = [], 0
        for place, sample in chosen.items():
            survivors = try_mutants(pool, sample, calls, asked.seconds)
            told += [f"  {file}:{one.line}  {_one_line(one)}  ({why})" for file, one, why in survivors]
            tried += len(sample)
            say(f"{place}: {len(sample) - len(survivors)} of {len(sample)} die")
        say("survivors:\n" + "\n".join(told) if told else "no survivors")
        say(f"{tried - len(told)} of {tried} mutants die: {100 * (tried - len(told)) / max(tried, 1):.1f} %")


if __name__ == "__main__":
    main()
