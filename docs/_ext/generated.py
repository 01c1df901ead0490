"""A Sphinx extension: fills the marks `<!-- generated: NAME -->` of a page with Markdown made from the code."""

import re
from typing import TYPE_CHECKING, Any

from reference_api import api
from reference_components import components, criteria

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MAKERS = {"api": api, "components": components, "criteria": criteria}
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def fill(app: "Sphinx", page: str, source: list[str]) -> None:
    """Put what each mark names in its place; a name that is none is a `KeyError`."""
    source[0] = MARK.sub(lambda mark: MAKERS[mark[1]](), source[0])


def setup(app: "Sphinx") -> dict[str, Any]:
    """Join the build."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
