"""The critical-difference diagram, line by line."""

import re

import pytest

from secateur.reports.blocks import Scope
from secateur.reports.comparisons import Ranking
from secateur.reports.inference import Ranks
from secateur.reports.rank_figure import rank_diagram, rank_pictures
from tests.figures import described

#: A and b are alike, b and C, and D and e; the methods differ.
RANKS = Ranks({"A": 1.0, "b": 2.0, "C": 3.0, "D": 4.25, "e": 4.75}, 7, 0.012, 1.25)


def test_names_stand_to_both_sides_and_bars_join_what_is_alike():
    figure = rank_diagram("Net $", RANKS)
    # Three bars, and room for one, of 0.1 each; three rows of names of 0.24; and the axis is 4 ranks long.
    assert [re.sub(r"_child\d+ -None", "", line) for line in described(figure)] == [
        r"title: Net \$",
        "panel '': 'mean rank' by ''",
        "  x linear (1 5)",
        "  y linear (-1.12 0)",
        "  line : (1 0) (1 -0.52) (0.92 -0.52)",
        "  line : (2 0) (2 -0.76) (0.92 -0.76)",
        "  line : (3 0) (3 -1) (0.92 -1)",
        "  line : (4.25 0) (4.25 -0.76) (5.08 -0.76)",
        "  line : (4.75 0) (4.75 -0.52) (5.08 -0.52)",
        "  line : (1 -0.1) (2 -0.1)",
        "  line : (2 -0.2) (3 -0.2)",
        "  line : (4.25 -0.3) (4.75 -0.3)",
        "  text (-3 0): 'A 1.00'",
        "  text (-3 0): 'b 2.00'",
        "  text (-3 0): 'C 3.00'",
        "  text (3 0): 'D 4.25'",
        "  text (3 0): 'e 4.75'",
    ]
    assert figure.get_size_inches().tolist() == pytest.approx([6.5, 0.75 + 0.4 + 3 * 0.24 + 0.4])


def test_the_axis_is_above_and_what_leaves_it_is_seen():
    (axes,) = rank_diagram("Net", RANKS).axes
    axes.figure.canvas.draw()
    assert [side for side, spine in axes.spines.items() if spine.get_visible()] == ["top"]
    assert (axes.xaxis.get_label_position(), axes.xaxis.get_ticks_position()) == ("top", "top")
    assert axes.get_xticks().tolist() == [1, 2, 3, 4, 5]
    assert [line.get_clip_on() for line in axes.lines] == [False] * 5 + [True] * 3
    assert [text.get_annotation_clip() for text in axes.texts] == [False] * 5
    assert [line.get_solid_capstyle() for line in axes.lines[5:]] == ["butt"] * 3
    (axes,) = rank_diagram("Net", Ranks({"A": 1.2, "b": 1.8}, 7, 0.012, 0.1)).axes
    assert axes.get_xticks().tolist() == [1, 2]
    assert len(axes.lines) == 2


def test_each_network_that_could_be_ranked_has_a_diagram():
    other = Ranks(RANKS.mean, 3, 0.25, 1.5)
    found = [Ranking(Scope(name, {}), ranks, []) for name, ranks in (("a", RANKS), ("b", None), ("c", other))]
    start = "blocks of a seed, a compression, a network and its data; 1 is the best."
    assert [(one.name, one.caption) for one in rank_pictures(found)] == [
        ("ranks_1", f"a: mean ranks over 7 {start} A bar joins methods that are not distinguishable (critical "
         "difference 1.25, Nemenyi, at 0.05)."),
        ("ranks_2", f"c: mean ranks over 3 {start} The methods are not distinguishable (Friedman, p = 0.25)."),
    ]  # fmt: skip
