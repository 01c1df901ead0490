"""Pages of help, letter by letter."""

import pluggy
import pytest

from secateur.config.help import Page, _own, _text
from secateur.config.option import option
from secateur.config.parser import Parser
from secateur.config.registry import Registry
from secateur.config.source import Declared
from secateur.hooks import PROJECT, Specification
from tests.secateur.config.records import record

USAGE = (
    "usage: python3 main.py [--FLAG VALUE ...]\n\nTrains a network, prunes it and measures the result.\n"
    "  python3 main.py --model LeNet5 --prune_criterion SNIP --pruning_limit 0.9\n"
)


def declared(flag, title="options", annotation=int, default=None, text="help", **fields):
    """An option of this flag and help text below a heading."""
    one = option(default, text, flag=flag, **fields)
    one._named("one", annotation.__name__)
    return Declared(one, "Mine", title)


@pytest.fixture
def page(monkeypatch):
    """An empty page for a terminal of so many columns."""

    def make(columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        return Page()

    return make


@pytest.mark.parametrize(
    ("columns", "width", "flags"), [(20, 50, 6), (50, 50, 6), (60, 60, 6), (61, 61, 28), (80, 80, 28), (200, 80, 28)]
)
def test_a_page_is_50_to_80_columns_wide_and_has_two_of_them_from_61_on(page, columns, width, flags):
    made = page(columns)
    assert (made.width, made.flags) == (width, flags)


def test_a_text_stands_beside_its_flag_where_that_leaves_two_columns(page):
    made = page()
    made.sections(
        [
            declared("x" * 20, text="a " * 30 + "end"),
            declared("x" * 21, text="beside or below"),
            declared("s", annotation=bool, default=False, text="y" * 60 + " low-level"),
        ]
    )
    assert made.text.plain == (
        "\noptions:\n"
        f"  --{'x' * 20} N  {'a ' * 25}a\n"
        f"{' ' * 28}a a a a end\n"
        f"  --{'x' * 21} N\n"
        f"{' ' * 28}beside or below\n"
        f"  --s{' ' * 23}{'y' * 60}\n"
        f"{' ' * 28}low-level\n"
    )


def test_options_stand_below_their_headings_by_all_their_names(page):
    made = page()
    made.sections([declared("a", "one"), declared("b", "two", also=("h", "c")), declared("d", "one")])
    entries = {names: f"  {names:26}help\n" for names in ("--a N", "--d N", "--b, -h, --c N")}
    assert made.text.plain == f"\none:\n{entries['--a N']}{entries['--d N']}\ntwo:\n{entries['--b, -h, --c N']}"


def test_the_short_help(page):
    made = page()
    known = [
        declared("epochs", common="how to train", default=80, text="how long; a long story"),
        declared("model", common="what to train", annotation=str, default="LeNet5", text="a network"),
        declared("other"),
    ]
    made.common_flags(Parser(known))
    assert made.rendered() == (
        f"{USAGE}\nwhat to train:\n  --model TEXT              a network (default: LeNet5)\n"
        "\nhow to prune:\n\nhow to train:\n  --epochs N                how long (default: 80)\n"
        "\nwhere and what to keep:\n\ncontinue, evaluate, compare:\n\nhelp:\n"
        "\n--help all shows every flag, --help NAME a component with its own flags, as\n"
        "--help SNIP, or one flag; --list shows the components."
    )


def test_the_long_help_begins_with_what_a_run_consists_of(page):
    made = page()
    titles = ("zoo", "training", "pruning", "data", "network and data", "what a run consists of")
    made.all_flags(Parser([declared(f"a{number}", title) for number, title in enumerate(titles)]))
    order = (("what a run consists of", 5), ("network and data", 4), ("pruning", 2), ("training", 1), ("zoo", 0))
    blocks = "".join(
        f"\n{title}:\n  --a{number} N                    help\n" for title, number in (*order, ("data", 3))
    )
    assert made.rendered() == (
        f"{USAGE}{blocks}\n--help NAME shows a component with its own flags; --list shows the components."
    )


def test_the_page_of_a_component(page, tmp_path):
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    (tmp_path / "losses").mkdir()
    source = '''from secateur.config.option import option


class {name}:
    """What it does,
    in two lines.
    """

    aliases = {aliases}
    implies = {implies}
    power: float = option({power}, "the power")
    {own}
'''
    own = 'own: int | None = option(None, "of its own")'
    for name, parts in {
        "CrossEntropy": {"aliases": (), "implies": {}, "power": 0.5, "own": ""},
        "Mine": {"aliases": ("my", "own"), "implies": {"loss": "Mine", "seed": "3"}, "power": 0.5, "own": own},
        "Other": {"aliases": (), "implies": {}, "power": 0.75, "own": ""},
    }.items():
        (tmp_path / "losses" / f"{name}.py").write_text(source.format(name=name, **parts))
    registry = Registry(hooks, root=tmp_path)
    made = page()
    made.components([registry.find("losses", name) for name in ("Mine", "Other", "CrossEntropy")], registry)

    def beginning(name):
        path = tmp_path / "losses" / f"{name}.py"
        return f"{name}: a loss ({path})\n  python3 main.py --loss {name}\n\nWhat it does, in two lines.\n"

    assert made.text.plain.replace("\n" + str(tmp_path), str(tmp_path)) == (
        f"{beginning('Mine')}\nAlso called my, own.\n\nImplies --loss Mine --seed 3.\n"
        + heading("Mine", tmp_path)
        + "  --own N                   of its own\n\nThe other flags of every loss: --help all.\n\n"
        + f"{beginning('Other')}"
        + heading("Other", tmp_path)
        + "  --power X                 the power (default: 0.75)\n\nThe other flags of every loss: --help all.\n\n"
        + f"{beginning('CrossEntropy')}"
        + heading("CrossEntropy", tmp_path)
        + "  --power X                 the power (default: 0.5)\n\n"
    )


def heading(name, folder):
    page = Page()
    page._heading(f"options of {name} ({folder / 'losses' / f'{name}.py'})")
    return page.text.plain.replace("\n" + str(folder), str(folder))


@pytest.mark.parametrize(
    ("one", "long", "short"),
    [
        (option(3, "first; second"), "first; second (default: 3)", "first (default: 3)"),
        (option(None, "first; second"), "first; second", "first"),
        (option("", "text"), "text", "text"),
        (option("a", "text", choices=("a", "b")), "text: a, b (default: a)", "text: a, b (default: a)"),
        (option("a", "text", choices=("a", "b"), metavar="NAME"), "text (default: a)", "text (default: a)"),
        (option(3, "text (default: some)"), "text (default: some)", "text (default: some)"),
        (record(bool, False), "help", "help"),
        (record(list[int], [1, 2]), "help (default: 1,2)", "help (default: 1,2)"),
        (option(0, "text"), "text (default: 0)", "text (default: 0)"),
    ],
)
def test_a_text_says_choices_and_default(one, long, short):
    assert (_text(one), _text(one, short=True)) == (long, short)


def test_options_of_a_component_are_its_own_where_others_lack_them_or_have_another_default():
    class Component:
        def declared(self):
            return [declared("a", default=1), declared("b", default=2), declared("c", default=3)]

    others = {"a": declared("a", default=1).option, "b": declared("b", default=1).option}
    assert [one.option.flag for one in _own(Component(), others)] == ["b", "c"]
