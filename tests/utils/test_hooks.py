"""Plugins: what a broken one does to the rest, and that one which is switched off is not imported."""

import argparse
import sys
from importlib.metadata import EntryPoint

import pytest

import main
from utils.arguments import disabled_plugins
from utils.errors import UserError
from utils.hooks import add_plugin_arguments, plugin_components, plugin_manager

HEAD = "from secateur import hookimpl\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install plugins of one module each, by name and source; returns what `plugin_manager` does."""

    def install(**sources):
        monkeypatch.syspath_prepend(str(tmp_path))
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(HEAD + source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        entries = [EntryPoint(name, name, "secateur") for name in sources]
        monkeypatch.setattr("utils.hooks.entry_points", lambda group: entries)
        return plugin_manager

    return install


def test_a_plugin_that_is_switched_off_is_not_imported(installed, tmp_path):
    ran = tmp_path / "ran"
    source = f"open({str(ran)!r}, 'w').close()\n@hookimpl\ndef components(): return {{'models': {{'X': 'a:X'}}}}\n"
    make = installed(diary=source, other="")
    manager, problems = make(disabled_plugins(["--model", "X", "--disable-plugin", "diary"]))
    assert (problems, manager.has_plugin("other"), manager.has_plugin("diary")) == ([], True, False)
    assert not ran.exists()
    assert "diary" not in sys.modules
    assert list(plugin_components(manager, "models")) == []
    manager, _ = make()
    assert ran.exists()
    assert list(plugin_components(manager, "models")) == [("diary", "X", "a:X")]


def test_several_are_switched_off_and_unknown_ones_refused_with_the_nearest(installed):
    make = installed(diary="", other="")
    assert not make(disabled_plugins(["--disable_plugin=diary,other"]))[0].list_name_plugin()
    with pytest.raises(UserError, match=r"--disable_plugin: there is no plugin 'dairy': did you mean diary\?"):
        make(disabled_plugins(["--disable_plugin", "diary,dairy"]))
    for words, message in (
        (["--disable_plugin"], "--disable_plugin: expected one argument"),
        (["--disable_plugin="], "--disable_plugin: it is empty"),
        (["--disable_plugin", "a,,b"], "--disable_plugin: 'a,,b' lacks a name"),
    ):
        with pytest.raises(UserError, match=message):
            disabled_plugins(words)


def test_the_command_line_knows_the_flag(installed, capsys, tmp_path):
    installed(diary="raise RuntimeError('imported')\n")
    assert main.main(["--list", "losses", "--disable_plugin", "diary"]) == 0
    assert capsys.readouterr().err == ""
    assert main.main(["--list", "losses"]) == 0
    assert capsys.readouterr().err == "warning: plugin diary (diary) is left out: RuntimeError: imported\n"
    assert main.main(["--list", "--disable_plugin", "dairy"]) == 2
    assert capsys.readouterr().err == "error: --disable_plugin: there is no plugin 'dairy': did you mean diary?\n"
    grid = tmp_path / "grid.toml"
    grid.write_text("[common]\ndisable_plugin = 'diary'\n")
    assert main.main(["--grid", str(grid), "--disable_plugin", "diary"]) == 2
    assert "disable_plugin belongs on the command line" in capsys.readouterr().err


BROKEN = {
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "no Python": ("def (", "SyntaxError"),
    "components raise": ("@hookimpl\ndef components(): return {}[1]", "KeyError"),
    "components are no table": ("@hookimpl\ndef components(): return [1]", "must return a dictionary, not list"),
    "no such kind": ("@hookimpl\ndef components(): return {'model': {}}", "no kind 'model': did you mean models"),
    "a list of names": ("@hookimpl\ndef components(): return {'models': ['X']}", "AttributeError"),
    "no place": ("@hookimpl\ndef components(): return {'models': {'X': 'a'}}", "must be 'package.module:Class'"),
    "no name": ("@hookimpl\ndef components(): return {'models': {3: 'a:B'}}", "must be 'package.module:Class'"),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_left_out_with_one_line_and_the_rest_stays(installed, source, reason):
    sound = "@hookimpl\ndef components(): return {'losses': {'L': 'a:L'}}\n"
    manager, problems = installed(first=sound, broken=source + "\n", last=sound.replace("'L'", "'M'"))()
    (line,) = problems
    assert line.startswith("plugin broken (broken) is left out: ")
    assert reason in line
    assert "\n" not in line
    assert {name for _, name, _ in plugin_components(manager, "losses")} == {"L", "M"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("parser.add_argument('--model')", "ArgumentError: argument --model: conflicting option string: --model"),
        ("{}[1]", "KeyError: 1"),
        ("raise SystemExit(1)", "SystemExit: 1"),
    ],
)
def test_options_that_cannot_be_declared_name_plugin_hook_file_and_line(installed, tmp_path, body, reason):
    manager, _ = installed(clumsy=f"@hookimpl\ndef add_arguments(parser):\n    {body}\n")()
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    with pytest.raises(UserError) as caught:
        add_plugin_arguments(manager, parser)
    where = f" ({tmp_path / 'clumsy.py'}:4)"
    assert (
        str(caught.value) == f"plugin clumsy: add_arguments: {reason}{where}; --disable_plugin clumsy goes without it"
    )


def test_components_that_fail_later_name_the_plugin(installed):
    manager, _ = installed(fickle="calls = iter([{}])\n@hookimpl\ndef components(): return next(calls)\n")()
    with pytest.raises(UserError, match="plugin fickle: components: StopIteration"):
        list(plugin_components(manager, "models"))
