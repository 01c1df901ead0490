"""What `--help` shows: the flags that people use, all of them, or one component. Free of torch."""

from __future__ import annotations

import ast
import shutil
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from secateur.config.kinds import KINDS
from secateur.config.names import NAMED_BY, ComponentNames
from secateur.config.option import Option, options_of
from secateur.config.parser import USUAL, Parser, dashed, names_of
from secateur.config.registry import Component, Registry
from secateur.config.source import Declared
from secateur.utils.errors import UserError, nearest
from secateur.utils.terminal import Terminal

if TYPE_CHECKING:
    from secateur.config.command_line import Reading

PROGRAM = "python3 main.py"
EXAMPLE = f"{PROGRAM} --model LeNet5 --prune_criterion SNIP --pruning_limit 0.9"
#: The headings of the short help, which `Option.common` names.
TASKS = (
    "what to train",
    "how to prune",
    "how to train",
    "where and what to keep",
    "continue, evaluate, compare",
    "help",
)
#: The headings that `--help all` begins with.
FIRST = ("what a run consists of", "network and data", "pruning", "training")
#: Columns of a line, at least and at most; of the flags, beside which the texts stand; and of the indentation where
#: the texts stand below, as on narrow terminals.
NARROWEST, LINE, FLAGS, BELOW = 50, 80, 28, 6


def help_text(reading: Reading, registry: Registry) -> str:
    """Return what `--help` shows, beside the other flags that were typed.

    Raises `UserError` where it names neither a component nor a flag.
    """
    asked, page = reading.typed["help"], Page()
    used = _used(reading, registry)
    if asked == "all":
        page.all_flags(reading.parser)
    elif asked != "short":
        found = [one for kind in KINDS for one in registry.named(kind, asked)]
        flags = [] if found else _flags_called(asked, reading.parser, registry)
        page.components(found, registry)
        page.sections(flags)
        if not (found or flags):
            known = [one.name for one in registry.everything()]
            hint = nearest(asked, [*known, *reading.parser.declared])
            raise UserError(f"--help {asked}: no component and no flag has this name{hint}")
    elif used:
        page.components(used, registry)
    else:
        page.common_flags(reading.parser)
    return page.rendered()


def _used(reading: Reading, registry: Registry) -> list[Component]:
    """The components that a command names, those that they imply, and those of its checkpoint."""
    named = reading.typed | reading.defaults
    found = [component for flag, component in reading.components.items() if flag in named]
    for flag, one in reading.parser.declared.items():
        if one.option.names and isinstance(named.get(flag), str):
            found.append(registry.find(one.option.names, named[flag].partition(":")[0]))
    return found


def _flags_called(name: str, parser: Parser, registry: Registry) -> list[Declared]:
    """The options whose flag is called so, here or by other programs."""
    name = name.lstrip("-").replace("-", "_")
    everywhere = [*parser.declared.values()]
    everywhere += [one for component in registry.everything() for one in component.declared_in_source()]
    by_flag = {one.option.flag: one for one in reversed(everywhere)}.values()
    exact = [one for one in by_flag if name in names_of(one.option)]
    return exact or [one for one in by_flag if name in one.option.suggested_for.split()]


class Page:
    """A page of help, written from top to bottom, in lines of at most 80 columns."""

    def __init__(self) -> None:
        self.width = max(min(shutil.get_terminal_size().columns, LINE), NARROWEST)
        self.flags = FLAGS if self.width > 60 else BELOW
        self.text = Text()

    def rendered(self) -> str:
        """Return the page as it is written to standard output, coloured where that is a terminal."""
        console = Terminal(width=LINE)
        with console.capture() as capture:
            console.print(self.text, soft_wrap=True)
        return capture.get().strip("\n")

    def common_flags(self, parser: Parser) -> None:
        """The short help: the usage, and what people use, by task."""
        self._usage()
        for task in TASKS:
            self._heading(task)
            for one in parser.declared.values():
                if one.option.common == task:
                    self._entry(f"--{one.option.flag}", one.option, _text(one.option, short=True))
        self._paragraphs(
            "--help all shows every flag, --help NAME a component with its own flags, as --help SNIP, or one flag; "
            "--list shows the components.",
            before="\n",
        )

    def all_flags(self, parser: Parser) -> None:
        """The long help: every flag that the command knows, by heading."""
        self._usage()
        first = {title: place for place, title in enumerate(FIRST)}
        self.sections(sorted(parser.declared.values(), key=lambda one: first.get(one.title, len(first))))
        self._paragraphs("--help NAME shows a component with its own flags; --list shows the components.", before="\n")

    def components(self, components: Iterable[Component], registry: Registry) -> None:
        """What components are, where they come from, and the flags that not every command knows."""
        for one in components:
            flag = next((flag for flag, kind in NAMED_BY.items() if kind == one.kind), "lr_schedule")
            self.text.append(f"{one.name}", "bold")
            self.text.append(f": a {KINDS[one.kind][0]} ({one.origin})\n")
            self.text.append(f"  {PROGRAM} --{flag} {one.name}\n\n", "cyan")
            node = one.source.node if one.source else None
            self._paragraphs((ast.get_docstring(node) if node else None) or "")
            if one.aliases:
                self._paragraphs(f"Also called {', '.join(one.aliases)}.", before="\n")
            if one.implies:
                implied = " ".join(f"--{name} {value}" for name, value in one.implies.items())
                self._paragraphs(f"Implies {implied}.", before="\n")
            others = _of_every_command(one, registry)
            self.sections(_own(one, others))
            if others:
                self._paragraphs(f"The other flags of every {KINDS[one.kind][0]}: --help all.", before="\n")
            self.text.append("\n")

    def sections(self, declared: Iterable[Declared]) -> None:
        """Options below their headings."""
        titles: dict[str, list[Option]] = {}
        for one in declared:
            titles.setdefault(one.title, []).append(one.option)
        for title, options in titles.items():
            self._heading(title)
            for option in options:
                self._entry(", ".join(map(dashed, names_of(option))), option, _text(option))

    def _usage(self) -> None:
        self._paragraphs(f"usage: {PROGRAM} [--FLAG VALUE ...]", "Trains a network, prunes it and measures the result.")
        self.text.append(f"  {EXAMPLE}\n", "cyan")

    def _heading(self, title: str) -> None:
        self.text.append("\n" + textwrap.fill(f"{title}:", self.width) + "\n", "bold")

    def _paragraphs(self, *texts: str, before: str = "") -> None:
        """Paragraphs, wrapped; indented lines, as formulas, stay lines."""
        self.text.append(before)
        for text in texts:
            for paragraph in text.split("\n\n"):
                lines = paragraph.splitlines()
                whole = [" ".join(lines)] if not any(line.startswith(" ") for line in lines) else lines
                for line in whole:
                    self.text.append("\n".join(textwrap.wrap(line, self.width)) + "\n")
                self.text.append("\n")
        self.text.right_crop(1)

    def _entry(self, names: str, option: Option, text: str) -> None:
        """A flag and what it does, in two columns."""
        value = "" if option.is_switch else f" {_value(option)}"
        lines = textwrap.wrap(text, self.width - self.flags, break_long_words=False, break_on_hyphens=False)
        beside = len(f"  {names}{value}") < self.flags - 1
        self.text.append(f"  {names}", "cyan")
        self.text.append(value, "green")
        if beside:
            self.text.append(" " * (self.flags - len(f"  {names}{value}")) + lines.pop(0))
        self.text.append("".join(f"\n{' ' * self.flags}{line}" for line in lines) + "\n")


def _value(option: Option) -> str:
    """What stands for the value."""
    return {"": "{0}", "+": "{0} [{0} ...]", "?": "[{0}]"}[option.words].format(option.shown)


def _text(option: Option, *, short: bool = False) -> str:
    """What an option does, which values it takes and its default; the short text ends at the first semicolon."""
    text = option.help.partition(";")[0] if short else option.help
    if option.choices and not option.metavar:
        text += f": {', '.join(option.choices)}"
    default = option.default
    if default is None or default == "" or option.is_switch or "(default:" in text:
        return text
    return f"{text} (default: {','.join(map(str, default)) if option.many else default})"


def _of_every_command(component: Component, registry: Registry) -> dict[str, Option]:
    """The options that every component of this kind has, by flag; none for the usual one itself, whose own they are."""
    flag = next((flag for flag in USUAL if NAMED_BY[flag] == component.kind), None)
    usual = registry.find(component.kind, options_of(ComponentNames)[flag].default) if flag else None
    if usual is None or usual.name == component.name:
        return {}
    return {one.option.flag: one.option for one in usual.declared()}


def _own(component: Component, others: dict[str, Option]) -> list[Declared]:
    """The options of a component that `others` lack, and those to which it gives another default."""
    return [
        one
        for one in component.declared()
        if one.option.flag not in others or one.option.default != others[one.option.flag].default
    ]
