"""Plugins: what a broken one does to the rest, and that one which is switched off is not imported."""

import sys
from importlib.metadata import EntryPoint

import pytest

from secateur import cli
from secateur.config.command_line import disabled_plugins, parse
from secateur.config.parser import Parser, options_of_readers
from secateur.config.registry import Registry
from secateur.hooks import plugin_components, plugin_manager, plugin_options
from secateur.utils.errors import UserError

HEAD = "from secateur import Section, hookimpl, option\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install plugins of one module each, by name and source; returns what `plugin_manager` does."""

    def install(**sources):
        monkeypatch.syspath_prepend(str(tmp_path))
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(HEAD + source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        entries = [EntryPoint(name, name, "secateur") for name in sources]
        monkeypatch.setattr("secateur.hooks.entry_points", lambda group: entries)
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
        (["--disable_plugin", "a,,b"], "--disable_plugin: it is empty, or lacks a name"),
    ):
        with pytest.raises(UserError, match=message):
            disabled_plugins(words)


def test_the_command_line_knows_the_flag(installed, capsys, tmp_path):
    installed(diary="raise RuntimeError('imported')\n")
    assert cli.main(["--list", "losses", "--disable_plugin", "diary"]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["--list", "losses"]) == 0
    assert capsys.readouterr().err == "warning: plugin diary (diary) is not loaded: RuntimeError: imported\n"
    assert cli.main(["--list", "--disable_plugin", "dairy"]) == 2
    assert capsys.readouterr().err == "error: --disable_plugin: there is no plugin 'dairy': did you mean diary?\n"
    grid = tmp_path / "grid.toml"
    grid.write_text("[common]\ndisable_plugin = 'diary'\n")
    assert cli.main(["--grid", str(grid), "--disable_plugin", "diary"]) == 2
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
    assert line.startswith("plugin broken (broken) is not loaded: ")
    assert reason in line
    assert "\n" not in line
    assert {name for _, name, _ in plugin_components(manager, "losses")} == {"L", "M"}


def test_of_two_plugins_of_one_name_the_first_stays(installed, monkeypatch):
    components = "@hookimpl\ndef components(): return {'losses': {'L': '%s:L'}}\n"
    installed(first=components % "first", second=components % "second")
    entries = [EntryPoint("same", module, "secateur") for module in ("first", "second")]
    monkeypatch.setattr("secateur.hooks.entry_points", lambda group: entries)
    manager, problems = plugin_manager()
    assert problems == ["plugin same (second is not loaded: another package has a plugin of that name"]
    assert list(plugin_components(manager, "losses")) == [("same", "L", "first:L")]


DIARY = """
class Diary(Section):
    diary: str | None = option(None, "keep a diary", metavar="WORDS")
    pages: int = option(3, "how long", low=1, also=("sheets",))

@hookimpl
def options(): return Diary
"""


def test_the_options_of_a_package_are_flags_of_every_command(installed):
    hooks, _ = installed(diary=DIARY, other="")()
    declared = {one.option.flag: one for one in plugin_options(hooks)}
    assert list(declared) == ["diary", "pages"]
    assert {(one.owner, one.title, one.kind, one.plugin) for one in declared.values()} == {
        ("Diary", "options of the plugin diary", "", "diary")
    }
    settings = parse(["--sheets", "5"], Registry(hooks), hooks)
    assert (settings["diary"], settings["pages"], settings.given) == (None, 5, {"pages"})
    section = settings.section(sys.modules["diary"].Diary)
    assert (section.diary, section.pages, section.given) == (None, 5, {"pages"})
    with pytest.raises(UserError, match=r"^--pages/--sheets: 0 is out of range: at least 1$"):
        parse(["--pages", "0"], Registry(hooks), hooks)
    text = parse(["--help", "all"], Registry(hooks), hooks).help
    assert "options of the plugin diary:" in text
    assert "--diary WORDS" in text


def test_a_section_may_have_a_heading_of_its_own(installed):
    hooks, _ = installed(diary=DIARY.replace("(Section):", "(Section):\n    title = 'what is written'"))()
    assert {one.title for one in plugin_options(hooks)} == {"what is written"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{}[1]", "KeyError: 1"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("type('Own', (Section,), {'one': option(1)})", "TypeError: option() missing 1 required positional argument"),
    ],
)
def test_options_that_cannot_be_declared_name_plugin_hook_file_and_line(installed, tmp_path, body, reason):
    manager, _ = installed(clumsy=f"@hookimpl\ndef options():\n    {body}\n")()
    with pytest.raises(UserError) as caught:
        list(plugin_options(manager))
    where = f" ({tmp_path / 'clumsy.py'}:4)"
    assert str(caught.value).startswith(f"plugin clumsy: options: {reason}")
    assert str(caught.value).endswith(f"{where}; --disable_plugin clumsy goes without it")


@pytest.mark.parametrize("returned", ["None", "[]", "dict", "Section()", "object"])
def test_options_that_are_no_section_are_refused(installed, returned):
    manager, _ = installed(clumsy=f"@hookimpl\ndef options(): return {returned}\n")()
    with pytest.raises(UserError, match=r"^plugin clumsy: options\(\) must return a class derived from Section$"):
        list(plugin_options(manager))


@pytest.mark.parametrize(
    ("flag", "owner"), [("model", "ComponentNames"), ("dataset", "ComponentNames"), ("components", "RunOptions")]
)
def test_a_flag_that_is_taken_names_the_plugin_and_whose_it_is(installed, flag, owner):
    manager, _ = installed(diary=DIARY.replace("pages", flag))()
    with pytest.raises(UserError) as caught:
        Parser(options_of_readers(manager))
    assert str(caught.value) == (
        f"plugin diary: options: --{flag} is an option of {owner} and of Diary; --disable_plugin diary goes without it"
    )


@pytest.mark.parametrize("flag", ["epochs", "pruning_limit"])
def test_a_flag_of_the_usual_components_is_taken_too(installed, flag):
    manager, _ = installed(diary=DIARY.replace("pages", flag))()
    with pytest.raises(UserError, match=rf"^plugin diary: options: --{flag} is an option of Diary and of \w+; --dis"):
        parse([], Registry(manager), manager)


def test_components_that_fail_later_name_the_plugin(installed):
    manager, _ = installed(fickle="calls = iter([{}])\n@hookimpl\ndef components(): return next(calls)\n")()
    with pytest.raises(UserError, match="plugin fickle: components: StopIteration"):
        list(plugin_components(manager, "models"))
