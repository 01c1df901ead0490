"""The tool that puts small bugs into a copy of the tree: which bugs there are, and that it finds who notices them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutations import mutations

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b <= c", ["(a <= b <= c)", "(a < b < c)"]),
        ("a == b and not c", ["(a == b or not c)", "(a != b)", "c"]),
        ("x = a + b * -2", ["(a - b * -2)", "(b / -2)", "2", "3"]),
        ("x = 'a' + b", []),
        ("x = True if a else 0.5", ["(0.5 if a else True)", "False", "1.5"]),
        ("x = min(one, key=two)", ["(max(one, key=two))", "(min(one))"]),
        ("x = sorted(one.abs(), reverse=a)", ["(list(one.abs()))", "(sorted(one.abs()))", "one"]),
        ("x = zip(one, two, strict=True, fontsize=8)", []),
        ("self.x = one", ["pass"]),
        ("x = one", []),
        ("x += one", ["x -= one"]),
        ("one(two)", ["pass"]),
        ("if one(): pass", ["(not one())"]),
        ("while one:\n    continue", ["break"]),
        ("raise ValueError(1 + 2)", []),
        ("'a docstring'\nx: Literal[1] = f'{1 + 2}'", []),
        ("if TYPE_CHECKING:\n    import_(one)", []),
        ("torch.cuda.set_device(1)", []),
        ("def f(a, b=0.5, c=1, *, d=2, e): return c and e", ["2", "(c or e)"]),
        ("axes.set_xticks([1])", []),
        ("figure = new_figure(3.2 * columns, 4)", []),
        ("if time.monotonic() < end: pass", []),
        ("x = 99 + 1000", ["(99 - 1000)", "100", "2000"]),
        ("ä = one(2)  # of two bytes", ["3"]),
    ],
)
def test_the_changes_of_a_source(source, changed):
    assert [one.after for one in mutations(source)] == changed
    for one in mutations(source):
        applied = one.applied(source)
        compile(applied, "mutant", "exec")
        assert applied != source


def test_a_change_knows_its_line_and_the_function_that_runs_it():
    source = "x = 1\n\n\n@two(3)\ndef one(default=4) -> 5:\n    return lambda: [6, default]\n\n\nclass A:\n    y = 7\n"
    assert [(one.before, one.line, one.function) for one in mutations(source)] == [
        ("1", 1, None),
        ("4", 5, None),
        ("6", 6, 4),
        ("7", 10, None),
    ]


MODULE = """LIMIT = 3


def below(number):
    return number < LIMIT


def above(number):
    return number > LIMIT


def untested(number):
    return number + 1
"""
TESTS = """import pytest
import tiny.limits


@pytest.fixture(scope="module")
def far():
    return tiny.limits.above(9)


def test_that_says_nothing(far):
    pass


def test_of_what_is_shared(far):
    assert far


def test_below():
    assert tiny.limits.below(2)
    assert not tiny.limits.below(3)


def test_above():
    assert tiny.limits.above(9)


def test_that_fails():
    assert tiny.limits.above(0)
"""


def test_survivors_are_told_and_the_checkout_stays_as_it_is(tmp_path):
    files = {
        "tiny/__init__.py": "", "tiny/limits.py": MODULE, "tests/test_limits.py": TESTS,
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "--quiet", "."], cwd=tmp_path, check=True)

    results = tmp_path / "results"

    def mutate(*words):
        command = [
            sys.executable,
            "tools/mutate.py",
            "tiny",
            "--jobs",
            "1",
            "--preload",
            "--results",
            str(results),
            *words,
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = mutate("--sample", "0")
    assert "tiny: 5 of 5 mutants" in told
    assert "4 tests; 1 fail without a change and have no say: tests/test_limits.py::test_that_fails" in told
    assert re.sub(r" in [\d.]+ s", "", told.partition("survivors:\n")[2]).splitlines() == [
        "  tiny/limits.py:9  number > LIMIT  ->  (number >= LIMIT)  (3 tests pass)",
        "  tiny/limits.py:13  number + 1  ->  (number - 1)  (no test runs it)",
        "  tiny/limits.py:13  1  ->  2  (no test runs it)",
        "tiny     2 of    5 die",
        "2 of 5 mutants die: 40.0 %",
    ]
    lines = results.read_text().splitlines()
    assert len(lines) == 5
    results.write_text("\n".join(lines[1:]))
    again = mutate("--sample", "5", "--minutes", "0")  # what stands in the file is not tried again
    assert "1 are not tried yet" in again
    assert "of    4 die" in again
    assert {name: (tmp_path / name).read_text() for name in files} == files
