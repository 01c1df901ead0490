import argparse
import subprocess
import sys
from textwrap import dedent

import pytest

from utils.component_source import ComponentSource, NeedsImportError


@pytest.fixture
def source(tmp_path):
    def write(text, class_name="Mine"):
        path = tmp_path / "Mine.py"
        path.write_text(dedent(text))
        return ComponentSource(path, class_name)

    return write


def declared(source):
    parser = argparse.ArgumentParser()
    for _, declare in source.declarations():
        declare(parser)
    return parser


def owners(source):
    return [owner.partition(" ")[0] for owner, _ in source.declarations()]


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
    assert mine.declarations() == []


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
    with pytest.raises(NeedsImportError):
        other.declarations()


def test_options_are_read_with_what_they_use_and_nothing_else(source):
    mine = source("""
        from secateur import Criterion, number
        import a_package_that_is_not_there
        from a_package_that_is_not_there import Thing as LIMIT_OF_THING

        DEFAULT = 3

        def twice(text):
            return text * 2

        CHOICES = ("a", twice("b"))

        class Mine(Criterion):
            @staticmethod
            def add_arguments(parser: Thing.Parser) -> Thing:
                parser.add_argument("--power", type=number(int, 0, 9), default=DEFAULT)
                parser.add_argument("--kind", choices=CHOICES)
    """)
    arguments = declared(mine).parse_args(["--kind", "a"])
    assert (arguments.power, arguments.kind) == (3, "a")
    # The base class stands in a file of torch's users, which was read, not imported.
    assert owners(mine) == ["Criterion", "Mine"]


def test_definitions_may_use_each_other(source):
    mine = source("""
        def twice(text):
            return text * 2
        CHOICES = ("a", twice("b"))
        class Mine:
            @staticmethod
            def add_arguments(parser):
                parser.add_argument("--kind", choices=CHOICES)
    """)
    assert declared(mine).parse_args(["--kind", "bb"]).kind == "bb"


def test_bases_are_followed_through_files(source):
    mine = source("""
        from torch import nn
        import torch
        from criterions.SNIPit import SNIPit as Base

        class Between(Base):
            pass
        class Mine(Between, nn.Module, torch.nn.Identity):
            pass
    """)
    assert owners(mine) == ["Criterion", "SNIP"]


UNREADABLE = {
    "a base of a relative import": "from .base import Base\nclass Mine(Base): pass",
    "a base by its module": "import secateur\nclass Mine(secateur.Criterion): pass",
    "a base that is computed": "class Mine(make_base()): pass",
    "a base that is handed on": "from utils.registry import ComponentSource\nclass Mine(ComponentSource): pass",
    "a name bound under a condition": """
        try:
            LIMIT = 3
        finally:
            pass
        class Mine:
            @staticmethod
            def add_arguments(parser):
                parser.add_argument("--power", default=LIMIT)
    """,
    "a relative import": """
        from .defaults import LIMIT
        class Mine:
            @staticmethod
            def add_arguments(parser):
                parser.add_argument("--power", default=LIMIT)
    """,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_source_alone_does_not_tell_is_left_to_an_import(source, text):
    with pytest.raises(NeedsImportError):
        source(text).declarations()


def test_reading_imports_no_torch():
    # In a process of its own: this one has torch.
    code = (
        "import sys; from pathlib import Path; from utils.component_source import ComponentSource as S;"
        "assert len(S(Path('criterions/SNIPitDuring.py'), 'SNIPitDuring').declarations()) == 2;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
