"""The tables of `--list`, letter by letter."""

import pluggy
import pytest

from secateur.config.listing import print_components
from secateur.config.registry import Registry
from secateur.hooks import PROJECT, Specification, hookimpl
from secateur.utils.errors import UserError


class Plugin:
    @hookimpl
    def components(self):
        return {"losses": {"Theirs": "secateur.losses.CrossEntropy:CrossEntropy"}}


@pytest.fixture
def listed(tmp_path, monkeypatch, capsys):
    """The lines of a list, on a terminal of so many columns, of two losses of which one is of a plugin."""
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    hooks.register(Plugin(), name="example")
    monkeypatch.setattr("secateur.config.registry.shown", lambda path: f"{path.parent.name}/{path.name}")
    for kind in ("losses", "models"):
        (tmp_path / kind).mkdir()
    (tmp_path / "losses" / "Mine.py").write_text('class Mine:\n    """What it is."""\n    aliases = ("a", "b")\n')

    def lines(kind, columns):
        if columns:
            monkeypatch.setenv("COLUMNS", str(columns))
        print_components(Registry(hooks, root=tmp_path), kind)
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return lines


def test_from_110_columns_on_places_have_a_column(listed):
    head, title, mine, *theirs = listed("losses", 110)
    assert (head, title) == ("losses", f"name    what it is{' ' * (title.index('from') - 18)}from")
    start = title.index("from")
    assert mine == "Mine    What it is. (also: a, b)".ljust(start) + "losses/Mine.py"
    assert theirs[0].startswith("Theirs  ")
    assert theirs[0].endswith("plugin example")
    assert theirs[-1] == ""
    head, title, mine, *theirs = listed("losses", 109)
    assert (head, title, mine) == ("losses", "name    what it is", "Mine    What it is. (also: a, b)")
    assert " ".join(" ".join(theirs).split()).endswith(" (from: plugin example)")
    assert "Mine.py" not in mine


def test_behind_the_networks_stand_the_zoos(listed):
    assert listed("models", 120) == [
        "models",
        "name              what it is                                 from",
        "torchvision:NAME  any classification network of torchvision  package torchvision",
        "timm:NAME         any classification network of timm         package timm",
        "",
    ]
    assert listed("models", 60) == [
        "models",
        "name              what it is",
        "torchvision:NAME  any classification network of torchvision",
        "timm:NAME         any classification network of timm",
        "",
    ]


def test_all_kinds_are_listed_one_below_the_other(listed):
    heads = ("criterions", "models", "trainers", "testers", "lr_schedules", "losses", "data_sets")
    lines = listed("all", 120)
    assert [line for line in lines if line in heads] == [*heads]


def test_a_name_is_never_broken(listed, tmp_path):
    (tmp_path / "losses" / f"{'L' * 40}.py").write_text("")
    assert sum(line.startswith("L" * 40) for line in listed("losses", 50)) == 1


def test_a_kind_may_have_a_dash_and_one_that_is_none_is_refused(listed):
    assert listed("lr-schedules", 120) == ["lr_schedules", "name  what it is  from", ""]
    with pytest.raises(UserError) as caught:
        listed("loses", 120)
    assert str(caught.value) == "--list loses: there is no such kind: did you mean losses, models?"


def test_where_no_terminal_is_known_lines_have_160_columns(listed, monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda stream: (_ for _ in ()).throw(OSError()))
    (tmp_path / "losses" / "Mine.py").write_text(f'class Mine:\n    """{"word " * 60}"""\n')
    assert max(map(len, listed("losses", None))) in range(150, 161)
