"""What is read from a class's source: the first line, the aliases, literals and the records of options."""

import subprocess
import sys
from textwrap import dedent

import pytest

from secateur.config.option import FREE_TEXT, KEEP
from secateur.config.source import ClassSource, NeedsImportError


@pytest.fixture
def source(tmp_path):
    def write(text, class_name="Mine"):
        path = tmp_path / "Mine.py"
        path.write_text(dedent(text))
        return ClassSource(path, class_name)

    return write


def options(source):
    return {one.option.name: one.option for one in source.declared()}


def owners(source):
    return list(dict.fromkeys(one.owner for one in source.declared()))


def test_summary_and_aliases_come_from_the_source(source):
    mine = source('''
        raise RuntimeError("never imported")
        class Mine:
            """The first line.

            The rest.
            """
            aliases = ("my", "own")
    ''')
    assert mine.summary == "The first line."
    assert mine.aliases == ("my", "own")
    assert mine.declared() == []


@pytest.mark.parametrize(
    ("written", "aliases"),
    [
        ('"own"', ("own",)),
        ('["my", "own"]', ("my", "own")),
        ("5", ()),
        ("None", ()),
        ('("my", 5)', ("my",)),
        ("{{}}", ()),
    ],
)
def test_aliases_that_are_no_tuple_are_a_name_or_nothing(source, written, aliases):
    assert source(f"class Mine:\n    aliases = {written}\n").aliases == aliases


def test_a_broken_file_and_a_missing_class_are_described_not_raised(source):
    assert "cannot be read" in source("class Mine(:").summary
    other = source("class Other: pass")
    assert other.summary == "(the file holds no class Mine)"
    assert other.aliases == ()
    assert other.literal("aliases") is None
    with pytest.raises(NeedsImportError):
        other.declared()


def test_a_file_that_changes_is_read_anew(source):
    assert options(source("class Mine:\n    power: int = option(3, 'help')"))["power"].default == 3
    assert options(source("class Mine:\n    power: int = option(14, 'help')"))["power"].default == 14


def test_records_are_read_and_nothing_of_the_file_runs(source):
    mine = source("""
        import secateur
        from secateur import Criterion, option
        import a_package_that_is_not_there
        from a_package_that_is_not_there import Thing as LIMIT_OF_THING

        raise RuntimeError("never imported")

        class Mine(Criterion):
            power: int = option(3, "an exponent", low=0, high=9, above=True)
            kind: str = secateur.option(
                "a", help="which one, " "in two pieces", choices=("a", "bb"), synonyms={"b": "bb"}, flag="the_kind"
            )
            several: "list[float] | None" = option(None, "some", smoke=KEEP, metavar="X")
            free: str = option("", "a text", pattern=FREE_TEXT)
            rest: Path | None = option(None, "a place", words="?", alone="here", changes_numbers=False)
            below: float = option(-0.5, "negative", low=-1)

            def scores(self, batches):
                return self.later

            later = 3
    """)
    found = options(mine)
    power, kind, several, free, rest = (found[name] for name in ("power", "kind", "several", "free", "rest"))
    assert (power.default, power.help, power.low, power.high, power.above) == (3, "an exponent", 0, 9, True)
    assert (power.kind, power.many, power.flag) == (int, False, "power")
    assert (kind.flag, kind.name, kind.choices) == ("the_kind", "kind", ("a", "bb"))
    assert kind.help == "which one, in two pieces"
    assert kind.read("b") == "bb"
    assert (several.kind, several.many, several.smoke, several.metavar) == (float, True, KEEP, "X")
    assert free.pattern == FREE_TEXT
    assert (rest.words, rest.alone, rest.is_path, rest.changes_numbers) == ("?", "here", True, False)
    assert (found["below"].default, found["below"].low) == (-0.5, -1)
    # The base class stands in a file of torch's users, which was read, not imported.
    assert owners(mine) == ["CriterionOptions", "Mine"]
    assert "pruning_limit" in found
    assert "later" not in found


def test_plain_assignments_are_new_defaults_of_the_bases_options(source):
    mine = source("""
        class Base:
            power: float = option(2.0, "an exponent", low=-5)
            steps: int | None = option(5, "how many")
            names: list[str] = option(["a"], "which")
            quiet: bool = option(False, "silent")
            kept: int = option(1, "not changed")

        class Mine(Base):
            power = -1.5
            steps: int | None = None
            names = quiet = ["b"]

            def kept(self):
                pass
    """)
    found = options(mine)
    assert {name: one.default for name, one in found.items()} == {
        "power": -1.5,
        "steps": None,
        "names": ["b"],
        "quiet": ["b"],
        "kept": 1,
    }
    assert (found["power"].low, found["steps"].kind) == (-5, int)
    assert owners(mine) == ["Base"]  # where they are declared


def test_a_heading_is_the_classs_title_or_its_name_and_file(source, tmp_path):
    mine = source("""
        class Base:
            title = "both"
            first: int = option(1, "help")

        class Mine(Base):
            second: int = option(1, "help")
    """)
    titles = {one.option.name: one.title for one in mine.declared()}
    assert titles == {"first": "both", "second": f"options of Mine ({tmp_path / 'Mine.py'})"}


@pytest.mark.parametrize("title", ["''", "None", "5", "make_title()"])
def test_a_title_that_is_none_is_no_heading(source, tmp_path, title):
    (one,) = source(f"class Mine:\n    title = {title}\n    first: int = option(1, 'help')\n").declared()
    assert one.title == f"options of Mine ({tmp_path / 'Mine.py'})"


def test_bases_are_followed_through_files(source):
    mine = source("""
        from torch import nn
        import torch
        from secateur.criterions.SNIPit import SNIPit as Base

        class Between(Base):
            pass
        class Mine(Between, nn.Module, torch.nn.Identity):
            pass
    """)
    assert owners(mine) == ["CriterionOptions", "ScoreMode", "SaliencyLoss"]
    assert [one.name for one in mine.lineage()][-7:] == [
        *("Criterion", "ScoreMode", "SaliencyLoss", "SNIP", "SNIPit", "Between", "Mine"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import secateur\nclass Mine(secateur.Criterion): pass",
        "import secateur as s\nclass Mine(s.Criterion): pass",
        "from secateur import Criterion\nclass Mine(Criterion): pass",
        "from secateur.pruning.criterion import Criterion as C\nclass Mine(C): pass",
    ],
)
def test_a_base_of_secateur_is_found_however_it_is_named(source, text):
    assert owners(source(text)) == ["CriterionOptions"]


def test_a_base_may_be_a_neighbour_in_a_folder_of_the_users(source, tmp_path):
    (tmp_path / "Neighbour.py").write_text("class Neighbour:\n    near: int = option(1, 'help')\n")
    mine = source("from secateur.criterions.Neighbour import Neighbour\nclass Mine(Neighbour): pass")
    assert owners(mine) == ["Neighbour"]


def test_the_order_is_that_of_python_where_bases_meet(source):
    mine = source("""
        class A:
            one: int = option(1, "help")
        class B(A):
            one = 2
            two: int = option(2, "help")
        class C(A):
            one = 3
            three: int = option(3, "help")
        class Mine(B, C):
            pass
    """)
    assert [one.name for one in mine.lineage()] == ["A", "C", "B", "Mine"]
    assert list(options(mine)) == ["one", "three", "two"]
    assert options(mine)["one"].default == 2


def test_a_literal_is_the_classs_own_or_that_of_its_nearest_base(source):
    mine = source("""
        class Base:
            implies = {"loss": "CrossEntropy"}
            trains = True
            computed = len("abc")
        class Mine(Base):
            trains = False
    """)
    assert mine.literal("implies") == {"loss": "CrossEntropy"}
    assert mine.literal("trains") is False
    assert mine.literal("computed") is mine.literal("nothing") is None
    unknown = source("class Mine(make_base()):\n    trains = True")
    assert (unknown.literal("trains"), unknown.literal("implies")) == (True, None)


UNREADABLE = {
    "a base of a relative import": "from .base import Base\nclass Mine(Base): pass",
    "a base of a module of others": "import collections\nclass Mine(collections.OrderedDict): pass",
    "a base that is computed": "class Mine(make_base()): pass",
    "a base that is handed on": "from secateur.config.registry import KINDS\nclass Mine(KINDS): pass",
    "a base that is not there": "from secateur.config.registry import Nothing\nclass Mine(Nothing): pass",
    "a default that is a name": "class Mine:\n    power: int = option(LIMIT, 'help')",
    "a range that is computed": "class Mine:\n    power: int = option(3, 'help', high=2 * 8)",
    "a help text that is put together": "class Mine:\n    power: int = option(3, f'help {LIMIT}')",
    "fields that are handed on": "class Mine:\n    power: int = option(3, 'help', **LIMITS)",
    "a field that does not exist": "class Mine:\n    power: int = option(3, 'help', lowest=1)",
    "no help text": "class Mine:\n    power: int = option(3)",
    "nothing an option can be": "class Mine:\n    power: Power = option(None, 'help')",
    "a new default that is a name": """
        class Base:
            power: float = option(0.5, 'help')
        class Mine(Base):
            power = LIMIT
    """,
    "a new default that is computed": """
        class Base:
            power: float = option(0.5, 'help')
        class Mine(Base):
            power = 8 / 255
    """,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_source_alone_does_not_tell_is_left_to_an_import(source, text):
    with pytest.raises(NeedsImportError):
        source(text).declared()


def test_reading_imports_no_torch():
    # In a process of its own: this one has torch.
    code = (
        "import sys; from pathlib import Path; from secateur.config.source import ClassSource as S;"
        "found = S(Path('criterions/SNIPitDuring.py'), 'SNIPitDuring').declared();"
        "assert {one.owner for one in found} == {'CriterionOptions', 'ScoreMode', 'SaliencyLoss'};"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
