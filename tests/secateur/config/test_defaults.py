"""What every option is by default, and which values it takes: options.txt has a line for each.

A run of last year's command gives last year's numbers only as long as these stay. Who changes one on purpose changes
its line, and says so; a new option gets a line of its own: `python3 tests/secateur/config/test_defaults.py` writes all.
"""

import importlib
from pathlib import Path

from secateur.config.kinds import KINDS
from secateur.config.option import Option, options_of
from secateur.config.parser import READERS, names_of
from secateur.config.registry import Registry
from secateur.hooks import empty_manager

TABLE = Path(__file__).with_name("options.txt")


def classes():
    """Every class that a command reads options of, and its bases, by name."""
    registry = Registry(empty_manager())
    places = [place.split(":") for place in READERS]
    named = [getattr(importlib.import_module(module), name) for module, name in places]
    named += [component.load() for kind in KINDS for component in registry.components(kind)]
    found = {base.__name__: base for one in named for base in reversed(one.__mro__)}
    return {name: found[name] for name in sorted(found) if options_of(found[name])}


#: What a record says of its option, where it does.
MARKS = {
    "changes_numbers": "changes numbers", "is_path": "a place", "on_resume": "may change on resume",
    "only_training": "of training alone", "general": "known without its component", "is_run": "a run",
}  # fmt: skip


def described(one: Option) -> str:
    """The default, the range, the choices, what `--smoke` makes of it, names, what else a record says, the marks."""
    parts = [repr(one.default)]
    if one.kind in (int, float):
        parts.append(f"{'(' if one.above else '['}{one.low}, {one.high}{')' if one.below else ']'}")
    parts += [f"of {' '.join(one.choices)}"] if one.choices else []
    parts += [f"as {one.pattern[0]}"] if one.pattern else []
    parts += [f"smoke {one.smoke!r}"] if one.smoke is not None else []
    parts += [f"shown as {one.metavar}"] if one.metavar else []
    parts += [f"meant by {one.suggested_for}"] if one.suggested_for else []
    parts += [f"of the task {one.common!r}"] if one.common else []
    parts += (
        [f"written as {' '.join(f'{other}={text}' for other, text in one.synonyms.items())}"] if one.synonyms else []
    )
    parts += [f"words {one.words}"] if one.words else []
    parts += [f"alone {one.alone!r}"] if one.alone else []
    parts += [f"for {' '.join(one.stands_for)}"] if one.stands_for else []
    parts += [f"names one of {one.names}"] if one.names else []
    parts += [f"checked by {one.check}"] if one.check else []
    return "; ".join([*parts, *(text for name, text in MARKS.items() if getattr(one, name))])


def lines() -> dict[str, str]:
    """A line for each option of the class that declares it, and for each default that a subclass changes."""
    found = {}
    for name, kind in classes().items():
        inherited = {}
        for base in reversed(kind.__mro__[1:]):
            inherited |= {key: one.default for key, one in options_of(base).items()}
        for key, one in options_of(kind).items():
            flags = " ".join(f"--{flag}" for flag in names_of(one))
            if key not in inherited:
                found[f"{name}.{key} {flags}"] = described(one)
            elif one.default != inherited[key]:
                found[f"{name}.{key} {flags}"] = repr(one.default)
    return found


def test_no_option_has_another_default_or_range_than_it_had():
    listed = dict(line.split(" = ", 1) for line in TABLE.read_text(encoding="utf-8").splitlines())
    now = lines()
    assert {name: (text, now.get(name)) for name, text in listed.items() if now.get(name) != text} == {}


if __name__ == "__main__":
    TABLE.write_text("".join(f"{name} = {text}\n" for name, text in lines().items()), encoding="utf-8")
