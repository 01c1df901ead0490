"""Figures of a report as SVG."""

import re
from xml.etree import ElementTree

from secateur.reports.panels import add_legend, add_title, panel_grid
from secateur.reports.svg import as_file, svg


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
