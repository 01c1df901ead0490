"""Figures of a report as SVG."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from secateur.reports.panels import add_legend, add_title, panel_grid
from secateur.reports.svg import STYLE, SVG, XLINK, _shorter_path, _simplify, as_file, svg


def drawn():
    figure, (axes, _) = panel_grid(2, 4, 3)
    (line,) = axes.plot([0, 1], [2.123456, 3], "o-", color="#0069B0")
    axes.axhline(2, color="black")
    axes.fill_between([0, 1], 2, 3, color="#BBBBBB")
    add_title(figure, "<b> & $x$")
    add_legend(figure, {"SNIP \x1b": line})
    return figure


def test_the_same_figure_is_the_same_bytes():
    assert svg(drawn(), "a") == svg(drawn(), "a")


def test_text_is_text_and_what_is_black_has_the_colour_of_the_page():
    text = svg(drawn(), "a")
    texts = ["".join(one.itertext()) for one in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "<b> & $x$" in texts
    assert r"SNIP \x1b" in texts
    colours = set(re.findall(r"(?:fill|stroke):([^;\"]+)", text)) | set(re.findall(r'fill="([^"]+)', text))
    assert {one.upper() for one in colours} == {"NONE", "CURRENTCOLOR", "#0069B0", "#BBBBBB"}
    assert not re.search(r"\d\.\d{3}", re.sub('style="[^"]*"', "", text))
    assert "dc:date" not in text


def test_what_a_figure_names_is_its_own_and_all_of_it_is_used():
    one, other = svg(drawn(), "one"), svg(drawn(), "other")
    ids, used = set(re.findall(r' id="([^"]+)"', one)), set(re.findall(r"(?:href=\"|url\()#([^\")]+)", one))
    assert ids == used
    assert len(ids) > 2
    assert all(name.startswith("one-") for name in ids)
    assert one.replace("one-", "other-") == other


def test_a_file_of_its_own_brings_colours_for_light_and_dark():
    text = svg(drawn(), "a")
    root = ElementTree.fromstring(as_file(text))
    assert root[0].tag.endswith("style")
    assert "prefers-color-scheme:dark" in root[0].text
    assert as_file(text).replace(ElementTree.tostring(root[0], encoding="unicode"), "").endswith("</svg>\n")


@pytest.mark.parametrize(
    ("path", "shorter"),
    [
        ("M 0 1 \nL 2 1 \nL 2 3.5 \nL 4 5 \nz\n", "M0 1H2V3.5L4 5z"),
        ("M 1 1 L 1 1 M 1 2 L 3 2", "M1 1V1M1 2H3"),
        ("M 0 1 C 1 2 3 4 5 6 L 5 7 z", "M 0 1 C 1 2 3 4 5 6 L 5 7 z"),
    ],
)
def test_lines_along_an_axis_are_written_by_one_coordinate(path, shorter):
    assert _shorter_path(path) == shorter


def test_a_figure_has_the_size_of_the_page_and_may_shrink():
    figure = Figure(figsize=(3, 2))
    figure.text(0.5, 0.5, "word")
    text = svg(figure, "a")
    # 216 by 144 points, 4 / 3 pixels each; three quarters at least
    assert text.startswith(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 216 144" width="288" height="192" role="img" '
        'fill="currentColor" style="stroke-linejoin:round;font-family:system-ui,\'DejaVu Sans\',sans-serif;'
        'min-width:216px">'
    )
    assert "#ffffff" not in text
    assert "metadata" not in text


def test_references_are_written_as_usual():
    assert 'xlink:href="#a-' in svg(drawn(), "a")
    assert 'xmlns:xlink="http://www.w3.org/1999/xlink"' in svg(drawn(), "a")


def simplified(inner, ids):
    root = ElementTree.fromstring(f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}">{inner}</svg>')
    _simplify(root, ids)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return re.sub(r"<svg [^>]*>|</svg>", "", ElementTree.tostring(root, encoding="unicode"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<g id="x"> <g> <path d="M 1 2"/> </g> </g> <path d="M 3 4"/> ', '<path d="M1 2" /><path d="M3 4" />'),
        ("<defs> <style>*{}</style> </defs><g/><text>a</text>", "<text>a</text>"),
        ('<path style="fill: none" d="M 1 2"/><text>a</text>', "<text>a</text>"),
        ('<g id="one"><text id="x">a</text></g>', '<g id="n-0"><text>a</text></g>'),
        ('<use xlink:href="#one" x="1.2345" y="7"/>', '<use xlink:href="#n-0" x="1.23" y="7" />'),
        ('<g clip-path="url(#two)"><text>a b</text></g>', '<g clip-path="url(#n-1)"><text>a b</text></g>'),
        (
            '<text style="font: 10.5px \'DejaVu Sans\', sans; fill: #000000; stroke: #b0b0b0">a</text>',
            '<text style="font-size:10.5px;fill:currentColor;stroke:#808080">a</text>',
        ),
        ('<text style="fill: #c0c0c0; font-family: x, y; opacity: 0.25">a</text>',
         '<text style="fill:#c0c0c0;opacity:0.25">a</text>'),
        ('<g transform="translate(1.23456  2)&#10;scale(3.999)" data="1.2345 "><path d="M 1.119 2 L 5 2.0001"/></g>',
         '<g transform="translate(1.23 2) scale(3.99)" data="1.2345 "><path d="M1.11 2L5 2.00" /></g>'),
        (
            '<g><use x="1" style="fill: red"/><use x="2" style="fill: red"/></g>',
            '<g style="fill:red"><use x="1" /><use x="2" /></g>',
        ),
        (
            '<g opacity="1"><use x="1" style="fill: red"/><use x="2" style="fill: red"/></g>',
            '<g opacity="1" style="fill:red"><use x="1" /><use x="2" /></g>',
        ),
        (
            '<g opacity="1"><use x="1" style="fill: red"/></g>',
            '<g opacity="1"><use x="1" style="fill:red" /></g>',
        ),
        (
            '<g opacity="1"><use x="1" style="fill: red"/><use x="2" style="fill: blue"/></g>',
            '<g opacity="1"><use x="1" style="fill:red" /><use x="2" style="fill:blue" /></g>',
        ),
        (
            '<g opacity="1"><path d="M 1 2" style="fill: red"/><use x="2" style="fill: red"/></g>',
            '<g opacity="1"><path d="M1 2" style="fill:red" /><use x="2" style="fill:red" /></g>',
        ),
    ],
)  # fmt: skip
def test_what_does_nothing_falls_away(before, after):
    assert simplified(before, {"one": "n-0", "two": "n-1"}) == after


def test_a_family_of_fonts_stays_on_the_figure_itself():
    root = ElementTree.fromstring(f'<svg xmlns="{SVG}" style="fill: red;font-family: x"><text>a</text></svg>')
    _simplify(root, {})
    assert root.get("style") == "fill:red;font-family:x"
    assert (root.text, root.tail) == (None, None)


def test_a_file_has_its_style_once_and_ends_its_line():
    assert as_file("<svg><g></g></svg>") == f"<svg>{STYLE}<g></g></svg>\n"
