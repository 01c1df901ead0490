"""Docstrings as Markdown."""

import inspect
import re
import textwrap

#: Characters of prose that Markdown would take for emphasis.
SPECIAL = re.compile(r"([*_<])")
SECTION = re.compile(r"(?:^|\n)Parameters\n-+\n(.*?)(?=\n\n|\Z)", re.DOTALL)


def escaped(text: str) -> str:
    """Prose in which no character but those of `code` means anything."""
    parts = text.split("`")
    return "`".join(SPECIAL.sub(r"\\\1", part) if place % 2 == 0 else part for place, part in enumerate(parts))


def docstring(text: str | None) -> str:
    """A docstring as Markdown: parameters become a list, indented parts code, the rest is prose."""
    text = SECTION.sub(lambda found: "\n\n" + parameters(found[1]), inspect.cleandoc(text or ""))
    return "\n\n".join(map(paragraph, re.split(r"\n{2,}", text.strip())))


def parameters(text: str) -> str:
    """The lines `name: what it is` as list items; what is indented goes on with the item before."""
    items = re.sub(r"\n\s+", " ", inspect.cleandoc(text)).splitlines()
    return "\n".join("- " + re.sub(r"^([\w*, ]+): ", lambda name: f"`{name[1]}`: ", item) for item in items)


def paragraph(text: str) -> str:
    """One part between empty lines."""
    if text.startswith("    "):
        return f"```python\n{textwrap.dedent(text).strip()}\n```"
    return text if text.startswith("- ") and "`: " in text else escaped(text)
