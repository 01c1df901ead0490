"""Which groups are dense, which blocks are compared, and what a test of their differences says."""

import pytest

from secateur.reports.blocks import Scope, by_seed, dense_of, is_dense, scopes
from secateur.reports.comparisons import (
    ALIKE,
    Pair,
    against_dense,
    can_conclude,
    collapses,
    controls,
    pairs,
    rankings,
    verdict,
)
from secateur.reports.groups import Mean
from secateur.reports.reached import missed
from tests.secateur.reports.handmade import dense, made


@pytest.mark.parametrize(
    ("line", "target", "expected"),
    [
        ("EmptyCrit", "1x", True),
        ("EmptyCrit, learning_rate 0.1", "2x", True),
        ("SNIP", "1x", True),
        ("SNIP, EmptyCrit", "2x", False),
    ],
)
def test_a_group_is_dense_by_its_criterion_or_its_compression(line, target, expected):
    assert is_dense(made(line, (0.5,), target)) is expected


def test_seeds_are_in_order_whatever_the_runs_are():
    group = made("SNIP", (0.1, 0.2, 0.3))
    group.runs.reverse()
    assert list(by_seed(group).items()) == [("1", 0.1), ("2", 0.2), ("3", 0.3)]


def test_the_dense_network_is_one_of_the_same_panel_and_no_control():
    groups = [
        dense((0.9,), panel="other"),
        dense((0.8,), control="shuffled"),
        dense((0.8,), line="SNIP", control="shuffled"),
        made("SNIP", (0.5,)),
        dense((0.7,)),
    ]
    assert dense_of(groups[3], groups) is groups[4]
    assert dense_of(groups[3], groups[:4]) is None
    own = dense((0.7,), line="SNIP")
    assert dense_of(groups[3], [dense((0.6,), line="CNIP"), own]) is own


def test_methods_are_in_the_order_of_the_alphabet_in_either_case():
    scope = Scope("", {("p", "10x", "1"): {"b": 0.5, "C": 0.5, "A": 0.5}})
    assert scope.methods == ["A", "b", "C"]


def test_where_methods_and_blocks_lack_the_same_the_last_block_goes_first():
    values = {"1": "BC", "2": "AC", "3": "ABC"}
    scope = Scope("", {("p", "10x", seed): dict.fromkeys(names, 0.5) for seed, names in values.items()})
    # A and B lack one of three blocks, blocks 1 and 2 one of three methods: block 2 goes. Then A lacks half, block 1 a
    # third.
    assert scope.complete() == (["B", "C"], [("p", "10x", "1"), ("p", "10x", "3")])


def test_blocks_of_one_method_are_not_compared():
    groups = [made("A", (0.5, 0.6)), made("B", (0.4, None)), dense((0.9,)), made("A", (0.5,), panel="other")]
    (scope,) = scopes(groups)
    assert (scope.name, scope.blocks) == ("Net on Data", {("Net on Data", "10x", "1"): {"A": 0.5, "B": 0.4}})


@pytest.mark.parametrize(
    ("difference", "p", "says"),
    [
        (None, None, "nothing to compare with"),
        (Mean(0.5, None, 1), None, "n too small"),
        (Mean(0.5, 0.0, 2), None, "no test: all differences are equal"),
        (Mean(0.5, 0.1, 2), 0.05, "not distinguishable"),
        (Mean(0.5, 0.1, 2), 0.0499, "better"),
        (Mean(-0.5, 0.1, 2), 0.0499, "worse"),
        (Mean(0.0, 0.1, 2), 0.0, "worse"),
    ],
)
def test_a_difference_is_one_where_the_corrected_p_is_below_5_per_cent(difference, p, says):
    assert verdict(difference, p) == says


def test_groups_are_compared_with_the_dense_network_of_their_panel_alone():
    groups = [
        group
        for panel, base in (("one", 0.9), ("two", 0.7))
        for group in (dense((base, base), panel=panel), made("SNIP", (0.5, 0.6), panel=panel))
    ]
    groups.append(made("GRASP", (None, None), panel="two"))
    found = against_dense(groups)
    assert [(one.group.panel, one.group.line, round(one.difference.value, 6)) for one in found] == [
        ("one", "SNIP", -0.35),
        ("two", "SNIP", -0.15),
    ]


def test_controls_need_no_dense_network():
    own, control = made("SNIP", (0.5, 0.6)), made("SNIP", (0.4, 0.3), control="shuffled")
    elsewhere = made("SNIP", (0.5, 0.6), "20x")
    (found,) = controls([own, elsewhere, control], [])
    assert (found.group, found.control) == (own, control)
    assert round(found.difference.value, 6) == 0.2
    assert found.p == pytest.approx(0.2951672)  # t = 2 of 1 degree of freedom: 1 - 2 arctan(2) / pi


def test_one_pair_that_could_be_told_apart_is_enough_to_conclude():
    def pair(blocks):
        return Pair(Scope("", {}), "A", "B", Mean(0.1, 0.1, blocks), 0.5, 0.5)

    # all of one sign: 2 / 2^6 = 0.03, and twice that for two pairs
    assert can_conclude([pair(6)])
    assert not can_conclude([pair(5)])
    assert not can_conclude([pair(6), pair(2)])
    assert can_conclude([pair(7), pair(2)])


@pytest.mark.parametrize(
    ("methods", "seeds", "ranked"), [("ABC", 2, True), ("AB", 2, False), ("ABC", 1, False), ("AB", 1, False)]
)
def test_three_methods_over_two_blocks_can_be_ranked(methods, seeds, ranked):
    (found,) = rankings([made(name, (0.5,) * seeds) for name in methods])
    assert (found.ranks is not None) == ranked
    assert found.left_out == []


def test_a_pair_has_its_mean_and_its_corrected_p():
    (found,) = pairs([made("A", (0.7, 0.9)), made("B", (0.5, 0.5))])
    assert (found.one, found.other, found.p, found.corrected, found.verdict) == ("A", "B", 0.5, 0.5, ALIKE)
    assert (round(found.difference.value, 6), found.difference.n) == (0.3, 2)


def test_at_the_threshold_nothing_has_collapsed():
    # of ten classes, halfway from 90 to 10 % is 50 %
    groups = [
        dense((0.9,), classes=10),
        made("A", (0.49,), "50x", limit=0.98),
        made("A", (0.5,), "20x", limit=0.95),
        made("B", (0.5,), "20x", limit=0.95),
    ]
    one, other = collapses(groups)
    assert ([point.target for point in one.points], one.first_below) == (["20x", "50x"], 1)
    assert other.first_below is None
    assert (one.threshold, one.dense.value) == (0.5, 0.9)


@pytest.mark.parametrize(("accuracy", "classes", "found"), [(0.25, (10, 10), 1), (0.2, (10, 10), 0), (0.9, (10, 9), 0)])
def test_a_dense_network_is_to_be_right_twice_as_often_as_guessing(accuracy, classes, found):
    groups = [dense((accuracy,), classes=classes[0]), made("A", (0.1,), classes=classes[1])]
    assert len(collapses(groups)) == found
    assert collapses(groups[1:]) == []


def test_one_run_without_weights_in_a_layer_is_a_collapse_of_it():
    (found,) = collapses(
        [
            dense((0.9,), classes=10),
            made("A", (0.5,), "10x", densities={"first": 1, "last": 0.5}),
            made("A", (0.5, 0.5), "20x", limit=0.95),
        ]
    )
    assert found.emptied is None
    found.points[1].runs[1].results["layer_densities"] = {"first": 0.0, "last": 0.5}
    assert found.emptied.target == "20x"


@pytest.mark.parametrize(
    ("limit", "sparsity", "reached"),
    [
        (0.5, 0.48, None),
        (0.5, 0.47, 1 / 0.53),
        (0.5, 0.53, 1 / 0.47),
        (0.5, None, None),
        (0.9, 1.0, None),
        (1.0, 0.99, None),
        (0.0, 0.5, 2),
    ],
)
def test_what_was_reached_is_named_where_it_is_off_by_more_than_a_twentieth(limit, sparsity, reached):
    group = made("SNIP", (0.5,), limit=limit, weight_sparsity=sparsity)
    assert missed(group) == (reached and pytest.approx(reached))
