"""Figures as SVG that follow the page: transparent, text as text, what is black in the colour of the text around it.

The same figure is the same bytes, always: names are hashes of what they name, and there is no date.
"""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
HREF = f"{{{XLINK}}}href"
#: What a file of its own has in place of the page's style. All is brighter on dark, lines as well as text.
STYLE = (
    "<style>:root{color-scheme:light dark;color:#1a1a1a}"
    "@media (prefers-color-scheme:dark){:root{color:#bcbcbc;filter:brightness(1.25)}}</style>"
)
#: Points to the pixel of CSS.
PIXELS = 4 / 3
#: A figure is shown no smaller than at this fraction of its size, at which its text of 7 points has 7 pixels.
SMALLEST = 0.75


def svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` to be put into a page; `name` tells what it names from that of other figures there."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "secateur"}):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(file.getvalue())  # of our own making; comments fall away
    width, height = (float(root.get(side).removesuffix("pt")) for side in ("width", "height"))
    root.attrib = {
        "viewBox": root.get("viewBox"), "width": f"{width * PIXELS:.0f}", "height": f"{height * PIXELS:.0f}",
        "role": "img", "fill": "currentColor",
        "style": "stroke-linejoin:round;font-family:system-ui,'DejaVu Sans',sans-serif;"
        f"min-width:{width * PIXELS * SMALLEST:.0f}px",
    }  # fmt: skip
    used = {place for one in root.iter() for place in _named(one)}
    _simplify(root, name, used)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def as_file(inline: str) -> str:
    """The same figure as a file of its own, which brings its colours for light and dark."""
    return inline.replace(">", f">{STYLE}", 1) + "\n"


def _named(one: ElementTree.Element) -> list[str]:
    """The ids that an element refers to."""
    return re.findall(r"#(\w+)", one.get(HREF, "") + one.get("clip-path", ""))


def _simplify(parent: ElementTree.Element, name: str, used: set[str]) -> None:
    """Leave groups that do nothing out, with ids that nothing refers to, fonts and digits that nobody sees."""
    children = []
    for child in parent:
        if child.tag == f"{{{SVG}}}style" or child.get("style") == "fill: none":  # and no line around it
            continue
        if child.get("id") not in used:
            child.attrib.pop("id", None)
        _simplify(child, name, used)
        if child.tag == f"{{{SVG}}}g" and not child.attrib:
            children += child
        elif len(child) or child.attrib or child.text:
            children.append(child)
    parent[:] = children
    parent.tail = None
    if not (parent.text or "").strip():
        parent.text = None
    for key, value in parent.attrib.items():
        if key == "id":
            parent.set(key, f"{name}-{value}")
        elif key in (HREF, "clip-path"):
            parent.set(key, value.replace("#", f"#{name}-"))
        elif key == "style":
            value = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", value)
            value = re.sub(r";? ?font-family: [^;]*", "", value) if parent.tag != f"{{{SVG}}}svg" else value
            value = value.replace("#000000", "currentColor").replace("#b0b0b0", "#808080")  # black, and the grid
            parent.set(key, re.sub(r"([:;]) ", r"\1", value))
        elif key in ("d", "x", "y", "width", "height", "transform", "points"):
            parent.set(key, re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split())))
