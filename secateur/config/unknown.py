"""Words of a command line that no option here knows. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from secateur.config.names import NAMED_BY
from secateur.config.other_programs import refuse_other_programs
from secateur.config.parser import Parser, names_of
from secateur.config.registry import Registry
from secateur.config.suggestions import did_you_mean
from secateur.utils.errors import UserError


def refuse_unknown(argv: Sequence[str], unknown: Sequence[str], parser: Parser, registry: Registry) -> NoReturn:
    """Raise `UserError` for the first of the `unknown` words of `argv`, with what may have been meant."""
    refuse_other_programs(argv)
    word = next((word for word in unknown if word.startswith("--")), unknown[0])
    if not word.startswith("-"):
        raise UserError(f"'{word}' is the value of no flag: arguments are written --flag value")
    word = word.partition("=")[0]
    if owners := _owners(word.lstrip("-"), registry):
        raise UserError(
            f"unknown flag {word}: it is an option of {', '.join(owners)}, which this command does not name"
        )
    hint = did_you_mean(word, (one.option for one in parser.declared.values()))
    raise UserError(f"unknown flag {word}{hint or ' (all flags: python3 main.py --help all)'}")


def _owners(flag: str, registry: Registry) -> list[str]:
    """The components that have an option of this name."""
    return [
        component.name
        for kind in NAMED_BY.values()
        for component in registry.components(kind)
        if any(flag in names_of(one.option) for one in component.declared_in_source())
    ]
