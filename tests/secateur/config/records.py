"""Records of options, for tests of them."""

from typing import Any

from secateur.config.option import Option, option


def record(kind: Any, default: Any = None, **fields: Any) -> Option:
    """The record that a class body with this one option holds."""

    class Holder:
        one: kind = option(default, "help", **fields)

    return vars(Holder)["one"]
