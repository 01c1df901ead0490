"""The options of the project, all of them: what `--help` reads from the source is what a run gets by importing."""

import ast
import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from secateur.config.kinds import KINDS
from secateur.config.listing import print_components
from secateur.config.names import NAMED_BY, ComponentNames
from secateur.config.option import KEEP, options_of
from secateur.config.parser import (
    READERS,
    Parser,
    general_options,
    names_of,
    options_of_reader,
    options_of_readers,
    usual_options,
)
from secateur.config.registry import Registry, declared_by
from secateur.config.source import Declared
from secateur.criterions.SNIPit import SNIPit
from secateur.data.corruption_strengths import STRENGTHS
from secateur.hooks import empty_manager
from secateur.models.blocks.forms import Form, TwoForms
from secateur.pruning.criterion import Criterion
from secateur.pruning.plan import SCHEDULES, TIMINGS
from secateur.pruning.selection import DISTRIBUTIONS
from secateur.testers.Corruption import Corruption
from secateur.utils.errors import UserError

ROOT = Path(__file__).parents[3]
HOOKS = empty_manager()
REGISTRY = Registry(HOOKS)
COMPONENTS = [component for kind in KINDS for component in REGISTRY.components(kind)]
DECLARED = [one for place in READERS for one in options_of_reader(place)]
DECLARED += [one for component in COMPONENTS for one in component.declared()]
#: One record for each class and option.
RECORDS = {f"{one.owner}.{one.option.name}": one for one in DECLARED}


def told(declared):
    """All that a list of records says."""
    return [(one.owner, one.title, one.kind, one.plugin, vars(one.option)) for one in declared]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda one: f"{one.kind}-{one.name}")
def test_the_options_of_a_component_are_read_from_its_source_as_importing_has_them(component):
    read = component.source.declared()  # raises where the source alone does not tell
    assert told(component.declared()) == told(component.declared_in_source())
    assert [one.option.name for one in read] == [one.option.name for one in component.declared()]
    assert told(component.declared()) == told(declared_by(component.load(), component.kind))


@pytest.mark.parametrize("place", READERS)
def test_the_options_of_a_reader_are_read_from_its_source_as_importing_has_them(place):
    module, _, name = place.partition(":")
    assert told(options_of_reader(place)) == told(declared_by(getattr(importlib.import_module(module), name)))


def test_every_class_that_declares_options_is_read_by_some_command():
    found = set()
    for path in ROOT.glob("**/*.py"):
        if path.relative_to(ROOT).parts[0] in ("tests", "gitignored", "benchmarks", "tools", ".venv", "build"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            body = node.body if isinstance(node, ast.ClassDef) else []
            values = [getattr(one, "value", None) for one in body]
            if any(isinstance(one, ast.Call) and ast.unparse(one.func) == "option" for one in values):
                found.add(node.name)
    assert found == {one.owner for one in DECLARED}
    assert len(found) > 20


@pytest.mark.parametrize(
    ("kind", "name", "table"),
    [
        (Criterion, "schedule", [*SCHEDULES]),
        (Criterion, "timing", [name for name in TIMINGS if name != "multishot"]),  # which --experiment says
        (Criterion, "distribution", [*DISTRIBUTIONS]),
        (Corruption, "corruptions", [*STRENGTHS]),
        (TwoForms, "form", [*get_args(Form)]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_choices_that_repeat_a_table_are_that_table(kind, name, table):
    assert [*options_of(kind)[name].choices] == table


def test_the_default_of_corruptions_is_all_of_them():
    assert options_of(Corruption)["corruptions"].default == [*STRENGTHS]


@pytest.mark.parametrize("one", RECORDS.values(), ids=RECORDS)
def test_a_record_is_sound(one):
    option = one.option
    assert option.help
    assert option.help.isprintable()
    assert not re.search(r"[^.]\.$", option.help)
    for name in names_of(option):
        assert re.fullmatch(r"[a-zA-Z0-9]\w*", name)
    if option.is_switch:
        assert option.default is False
    elif option.default not in (None, ""):
        assert option.checked(option.default) == option.default  # which is within the range, one of the choices
    if option.smoke not in (None, KEEP):
        assert option.checked(option.smoke) == option.smoke
        assert option.checked(option.reduced(option.default or option.smoke)) == option.reduced(
            option.default or option.smoke
        )
    assert option.smoke != KEEP or option.many
    for text, meant in option.synonyms.items():
        assert option.read(text) == option.read(meant)
        assert text not in option.choices
    if option.stands_for:
        flag, name = option.stands_for
        assert REGISTRY.find(NAMED_BY[flag], name)
    if option.names:
        assert REGISTRY.find(option.names, option.default)
    assert option.words in ("", "+", "?")
    assert (option.alone is not None) == (option.words == "?")
    assert not (option.above and option.low == float("-inf"))
    assert not (option.below and option.high == float("inf"))
    if option.kind not in (int, float):
        assert (option.low, option.high) == (float("-inf"), float("inf"))


def test_the_names_of_components_by_default_are_there():
    defaults = options_of(ComponentNames)
    for flag, kind in NAMED_BY.items():
        assert REGISTRY.find(kind, defaults[flag].default).name == defaults[flag].default


def test_no_flag_has_two_meanings():
    # One of each kind at a time, as in a run; the parser refuses a name that two of them have.
    every_run = [*options_of_readers(HOOKS), *usual_options(REGISTRY), *general_options(REGISTRY)]
    for component in COMPONENTS:
        Parser([*every_run, *component.declared()])
    assert Parser(every_run).declared["epochs"].owner == "TrainingOptions"
    (moment,) = {one.option.flag for one in DECLARED if one.option.name == "timing"}
    assert moment == "prune_moment"


def test_of_two_records_of_components_of_a_kind_the_first_counts():
    usual = [*usual_options(REGISTRY)]
    own = REGISTRY.find("criterions", "SNIPit").declared()
    assert Parser(usual).declared["prune_schedule"].option.default == "one_shot"
    assert Parser([*own, *usual]).declared["prune_schedule"].option.default == SNIPit.schedule == "snip_it"


@pytest.mark.parametrize(
    ("kind", "plugin", "message"),
    [
        ("losses", "", "--epochs is an option of TrainingOptions and of Mine: rename one of them"),
        (
            "",
            "diary",
            "plugin diary: options: --epochs is an option of TrainingOptions and of Mine; "
            "--disable_plugin diary goes without it",
        ),
    ],
)
@pytest.mark.parametrize("fields", [{"flag": "epochs"}, {"flag": "post_epochs"}, {"flag": "x", "also": ("epochs",)}])
def test_a_flag_with_two_meanings_is_refused_by_whom_it_is_of(kind, plugin, message, fields):
    epochs = RECORDS["TrainingOptions.epochs"]
    mine = Declared(replace(epochs.option, **{"also": (), **fields}, high=3), "Mine", "mine", kind, plugin)
    with pytest.raises(UserError) as raised:
        Parser([epochs, mine])
    name = "post_epochs" if fields["flag"] == "post_epochs" else "epochs"
    assert str(raised.value) == message.replace("--epochs", f"--{name}")
    with pytest.raises(UserError) as raised:
        Parser([mine, epochs])
    swapped = message.replace("TrainingOptions and of Mine", "Mine and of TrainingOptions")
    assert str(raised.value).partition(" is ")[2] == swapped.partition(" is ")[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_says_what_each_component_is_and_where_it_stands(kind, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    print_components(REGISTRY, kind)
    lines = capsys.readouterr().out.splitlines()
    for component in REGISTRY.components(kind):
        (line,) = [line for line in lines if line.split()[:1] == [component.name]]
        assert component.source.summary[:60] in line  # a longer one goes on in the next lines
        assert line.rstrip().endswith(f"{kind}/{component.name}.py")
