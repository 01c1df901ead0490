"""Intervals, tests and ranks, by hand and by the tables of textbooks."""

import math

import pytest

from secateur.reports.groups import Mean, mean
from secateur.reports.inference import (
    ROUNDING,
    Ranks,
    _iman_davenport,
    critical_value,
    friedman,
    half_width,
    holm,
    paired_t,
    signed_rank,
    smallest_signed_rank,
)


def test_an_interval_is_students():
    # 1, 2, 3: deviation 1, and t of 2 degrees of freedom is 4.303
    assert half_width(mean([1, 2, 3])) == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert half_width(mean([1, 1])) == 0
    assert half_width(mean([1])) is None


def test_the_p_of_pairs_is_students():
    # t = 2 sqrt(3) with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2)
    assert paired_t(mean([1, 2, 3])) == pytest.approx(1 - math.sqrt(12 / 14))
    assert paired_t(mean([-1, -2, -3])) == paired_t(mean([1, 2, 3]))
    assert paired_t(mean([-1, 1])) == 1
    assert [paired_t(mean(values)) for values in ([0.2], [0, 0], [0.3, 0.3, 0.1 + 0.2])] == [None] * 3


def test_differences_that_rounding_alone_makes_unequal_are_not_tested():
    # what rounding leaves of numbers of this size is a thousand times what it leaves of 1
    assert paired_t(mean([1000, 1000 + 100 * ROUNDING])) is None
    assert paired_t(mean([1, 1 + 100 * ROUNDING])) is not None
    assert paired_t(mean([0, 0.1 * ROUNDING])) is None


def test_signed_ranks_are_exact():
    assert signed_rank([1, 2, 3, 4, 5]) == smallest_signed_rank(5) == 2 / 2**5
    assert signed_rank([-1, 2, 3]) == 4 / 2**3  # sums of ranks as far out: 1 and 0, on both sides
    assert signed_rank([0.3 - 0.1, 0.1 - 0.3]) == 1  # equal but for rounding
    assert signed_rank([0, 0]) == smallest_signed_rank(1) == 1


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm([0.01, 0.04, None, 0.03]) == [0.03, 0.06, None, 0.06]
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize(("number", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(number, q):
    assert critical_value(number) == pytest.approx(q, abs=1e-3)


def test_the_numbers_of_demsars_example():
    """Section 3.2.2: four classifiers on 14 data sets, chi-square 9.28, F 3.69, critical difference 1.25."""
    critical_f, f = 2.845, 13 * 9.28 / (14 * 3 - 9.28)  # of 3 and 39 degrees of freedom, at 0.05
    assert f == pytest.approx(3.69, abs=0.005)
    assert 0.01 < _iman_davenport(9.28, 14, 4) < 0.05
    assert _iman_davenport(14 * 3 * critical_f / (13 + critical_f), 14, 4) == pytest.approx(0.05, abs=1e-4)
    found = friedman(list("abcd"), [[4, 3, 2, 1], [1, 2, 3, 4]] * 7)
    assert found.critical == pytest.approx(1.25, abs=0.005)


def test_equal_values_share_the_mean_of_their_ranks():
    found = friedman(["a", "b", "c"], [[0.9, 0.9, 0.1], [0.1 + 0.2, 0.5, 0.3]])
    assert found.mean == {"b": 1.25, "a": 2, "c": 2.75}  # (1.5, 1.5, 3) and, equal but for rounding, (2.5, 1, 2.5)


def test_methods_that_differ_by_the_critical_difference_are_apart():
    # Three blocks agree: of the 6 orders of each, all three have the same in 6 of 216 cases.
    found = friedman(["a", "b", "c"], [[3, 2, 1]] * 3)
    assert (found.mean, found.p) == ({"a": 1, "b": 2, "c": 3}, pytest.approx(6 / 216))
    assert found.critical == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 3)), abs=1e-3)
    assert found.alike == [["a", "b"], ["b", "c"]]


def test_without_differences_all_are_alike():
    found = friedman(["b", "a", "c"], [[0.5, 0.5, 0.5]] * 4)
    assert (found.mean, found.differ) == ({"a": 2, "b": 2, "c": 2}, False)
    assert found.alike == [["a", "b", "c"]]
    assert not friedman(["a", "b", "c"], [[1, 2, 3], [3, 2, 1]]).differ


def test_a_test_needs_more_than_what_rounding_leaves():
    assert paired_t(Mean(0.0, 1e-12, 2)) is None
    assert paired_t(Mean(0.5, 1.5e-12, 2)) is not None
    assert paired_t(Mean(-1000.0, 1e-10, 2)) is None
    assert signed_rank([4e-13] * 6) == 1  # of which twelve decimals count
    assert signed_rank([0, 1, 2, 3, 4, 5]) < 0.1  # the pair that is equal takes none from the others
    assert smallest_signed_rank(0) == 1


def test_at_a_p_of_5_per_cent_methods_do_not_differ():
    assert not Ranks({}, 2, 0.05, 1.0).differ
    assert Ranks({}, 2, 0.0499, 1.0).differ


def test_sets_that_are_alike_hold_all_ranks_nearer_than_the_critical_difference():
    ranks = Ranks({"a": 1.0, "b": 1.5, "c": 2.0, "d": 4.0, "e": 4.25}, 9, 0.01, 0.75)
    assert ranks.alike == [["a", "b"], ["b", "c"], ["d", "e"]]
    assert Ranks({"a": 1.0, "b": 2.0}, 9, 0.01, 1.0).alike == [["a"], ["b"]]


def test_methods_of_one_rank_are_in_the_order_of_the_alphabet_in_either_case():
    found = friedman(["c", "B", "a"], [[0.5, 0.5, 0.5]] * 4)
    assert (list(found.mean), found.p, found.blocks) == (["a", "B", "c"], 1.0, 4)
