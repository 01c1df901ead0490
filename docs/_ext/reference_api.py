"""The public names of `secateur`, with signatures and docstrings, as Markdown with MyST's directives."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from docstrings import docstring

import secateur

#: Names of the laboratory's parts, which the pages on extending it explain; the others are calls on a network.
CALLS = "Calls"
PARTS = "For components and plugins"


def api() -> str:
    """Every public name: first the calls, then what components are made of."""
    found = {name: getattr(secateur, name) for name in sorted(secateur.__all__, key=str.lower)}
    calls = [
        name
        for name, thing in found.items()
        if lives_in(thing, "secateur.api", "secateur.sparse") or name in ("Pruner",)
    ]
    groups = {CALLS: calls, PARTS: [name for name in found if name not in calls]}
    return "\n\n".join(
        f"## {title}\n\n" + "\n\n".join(entry(name, found[name]) for name in names) for title, names in groups.items()
    )


def lives_in(thing: Any, *modules: str) -> bool:
    """Whether it is defined in one of these modules or below."""
    return getattr(thing, "__module__", "").startswith(modules)


def entry(name: str, thing: Any) -> str:
    """A function or a class, with the methods of its own that a caller may use or override."""
    if inspect.isclass(thing):
        members = [described("method", member, value, 4) for member, value in methods(thing)]
        return directive("class", f"secateur.{name}", signature_of(thing), thing.__doc__, members, 5)
    if lives_in(thing, "secateur"):
        return described("function", f"secateur.{name}", thing, 4)
    return directive(
        "data", f"secateur.{name}", "", "A marker of pluggy: put `@hookimpl` before a hook of a plugin.", (), 4
    )


def methods(kind: type) -> Iterable[tuple[str, Any]]:
    """The public methods and properties that a class defines itself and documents."""
    for name, value in vars(kind).items():
        value = getattr(value, "__func__", value)
        is_one = inspect.isfunction(value) or isinstance(value, property)
        if is_one and value.__doc__ and not name.startswith("_"):
            yield name, value


def described(kind: str, name: str, thing: Any, fence: int) -> str:
    """A function, a method or a property."""
    if isinstance(thing, property):
        return directive("property", name, "", thing.__doc__, (), fence)
    return directive(kind, name, signature_of(thing), thing.__doc__, (), fence)


class Plain:
    """Shows itself in a signature as this text."""

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)

    def __repr__(self) -> str:
        return self.text


def signature_of(thing: Any) -> str:
    """The parameters with short annotations; a default that is a function has its name."""
    try:
        found = inspect.signature(thing)
    except ValueError:
        return "()"
    own = [shortened(one) for one in found.parameters.values() if one.name not in ("self", "cls")]
    returned = found.return_annotation
    if returned is not found.empty:
        returned = Plain(inspect.formatannotation(returned).strip("'"))
    return str(found.replace(parameters=own, return_annotation=returned))


def shortened(one: inspect.Parameter) -> inspect.Parameter:
    """A parameter whose annotation and default take little room."""
    if one.annotation is not one.empty:
        one = one.replace(annotation=Plain(inspect.formatannotation(one.annotation).strip("'")))
    if inspect.isfunction(one.default):
        return one.replace(default=Plain(one.default.__name__))
    return one.replace(default=Plain("...")) if repr(one.default).startswith("<factory") else one


def directive(kind: str, name: str, signature: str, text: str | None, members: Iterable[str], fence: int) -> str:
    """MyST's directive `py:kind`."""
    ticks = "`" * fence
    body = "\n\n".join([docstring(text), *members])
    return f"{ticks}{{py:{kind}}} {name}{signature}\n\n{body}\n{ticks}"
