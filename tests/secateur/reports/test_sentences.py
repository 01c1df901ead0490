"""Every sentence of conclusion, word by word."""

from secateur.reports import sentences
from secateur.reports.blocks import Scope
from secateur.reports.comparisons import AgainstDense, Collapse, Control, Pair, Ranking
from secateur.reports.groups import Mean
from secateur.reports.inference import Ranks
from tests.secateur.reports.handmade import dense, made


def test_a_mean_has_its_interval_in_either_direction():
    # of 1 degree of freedom t is 12.706: 12.706 / sqrt(2) = 8.985 deviations
    assert sentences.with_interval(Mean(0.5, 0.01, 2)) == "50.00 [41.02, 58.98]"
    assert sentences.with_interval(Mean(-0.5, 0.01, 2), -1) == "50.00 [41.02, 58.98]"
    assert sentences.with_interval(Mean(0.1, 0.01, 2), -1) == "-10.00 [-18.98, -1.02]"


def test_each_line_has_a_sentence_on_the_dense_network():
    def against(line, value, p, target="10x", n=2, panel="Net"):
        group = made(line, (0.5,), target, panel)
        difference = None if value is None else Mean(value, 0.01 if n > 1 else None, n)
        return AgainstDense(group, Mean(0.5, None, 1), difference, p)

    found = [
        against("A", 0.2, 0.01),
        against("A", -0.2, 0.01, "20x"),
        against("A", 0.2, 0.05, "50x"),
        against("A", -0.05, 0.5, "100x"),
        against("A", 0.0, None, "200x"),
        against("A", 0.3, 0.01, "500x", n=1),
        against("B", 0.3, None, n=1),
        against("C", None, None),
        against("A", 0.2, 0.01, panel="Other"),
    ]
    assert list(sentences.of_dense(found)) == [
        "Net: against the dense network of the same seed, A gains 20.00 [11.02, 28.98] points at 10x (n = 2), "
        "loses 20.00 [11.02, 28.98] points at 20x (n = 2), "
        "gains 20.00 [11.02, 28.98] points at 50x (n = 2: not distinguishable once corrected for all tests), "
        "loses 5.00 [-3.98, 13.98] points at 100x (n = 2: not distinguishable), "
        "loses 0.00 [-8.98, 8.98] points at 200x (n = 2: no test: all differences are equal).",
        "Other: against the dense network of the same seed, A gains 20.00 [11.02, 28.98] points at 10x (n = 2).",
    ]
    equal = AgainstDense(found[0].group, Mean(0.5, None, 1), Mean(0.2, 0.0, 2), None)
    assert list(sentences.of_dense([equal])) == [
        "Net: against the dense network of the same seed, A gains 20.00 [20.00, 20.00] points at 10x (n = 2: no test: "
        "all differences are equal)."
    ]


def test_an_interval_that_ends_at_zero_says_no_difference():
    same = AgainstDense(made("A", (0.5,)), Mean(0.5, None, 1), Mean(0.0, 0.0, 2), 0.5)
    (said,) = sentences.of_dense([same])
    assert said.endswith("A loses 0.00 [0.00, 0.00] points at 10x (n = 2: not distinguishable).")


def test_each_group_has_a_sentence_on_its_controls():
    groups = [made(line, (0.5,), target) for line, target in (("A", "10x"), ("A", "20x"), ("B", "10x"))]

    def beside(number, control, value, p=0.01, n=2):
        other = made(groups[number].line, (0.5,), groups[number].target, control=control)
        return Control(groups[number], other, None if value is None else Mean(value, 0.01 if n > 1 else None, n), p)

    found = [
        beside(0, "", 0.3),
        beside(0, "same_flops", 0.2),
        beside(0, "shuffled", -0.2),
        beside(0, "reinitialised", 0.0),
        beside(1, "shuffled", 0.2, n=1),
        beside(1, "same_flops", None),
        beside(2, "", 0.1),
        beside(1, "same_parameters", 0.2),
    ]
    assert list(sentences.of_controls(found)) == [
        "Net on Data: beside its controls of the same seed, A at 10x is "
        "20.00 [11.02, 28.98] points above dense, equal FLOPs (n = 2), "
        "20.00 [11.02, 28.98] points below mask shuffled within layers (n = 2), "
        "0.00 [-8.98, 8.98] points below weights re-initialised (n = 2).",
        "Net on Data: beside its controls of the same seed, A at 20x is 20.00 [11.02, 28.98] points above dense, "
        "equal parameters (n = 2).",
    ]


def test_the_best_of_each_compression_is_compared_with_the_next():
    groups = [
        dense((0.9, 0.9)),
        made("alone", (0.5, 0.5), "5x", limit=0.8),
        made("C", (0.6, 0.58), "10x"),
        made("A", (0.8, 0.82), "10x"),
        made("b", (0.4, 0.42), "10x"),
        made("one seed", (0.99,), "10x"),
        made("A", (0.5, 0.6), "20x", limit=0.95),
        made("b", (0.6, 0.5), "20x", limit=0.95),
        made("A", (0.8, 0.82, None), "50x", limit=0.98),
        made("b", (None, 0.6, 0.62), "50x", limit=0.98),
        made("A", (0.8, 0.82, None, None), "100x", limit=0.99),
        made("b", (None, None, 0.6, 0.62), "100x", limit=0.99),
        made("A", (0.7, 0.7), "200x", limit=0.995),
        made("b", (0.5, 0.5), "200x", limit=0.995),
    ]
    assert list(sentences.of_best(groups[::-1])) == [
        "Net on Data at 10x: A has the highest mean accuracy, 81.00 [68.29, 93.71] % (n = 2), 22.00 [-3.41, 47.41] "
        "points above C of the same seed (n = 2): which of the two is better cannot be said.",
        "Net on Data at 20x: A has the highest mean accuracy, 55.00 [-8.53, 118.53] % (n = 2), 0.00 [-127.06, 127.06] "
        "points above b of the same seed (n = 2): which of the two is better cannot be said.",
        "Net on Data at 50x: A has the highest mean accuracy, 81.00 [68.29, 93.71] % (n = 2); it shares too few seeds "
        "with b, the next, to compare them.",
        "Net on Data at 100x: A has the highest mean accuracy, 81.00 [68.29, 93.71] % (n = 2); it shares too few seeds "
        "with b, the next, to compare them.",
        "Net on Data at 200x: A has the highest mean accuracy, 70.00 [70.00, 70.00] % (n = 2), 20.00 [20.00, 20.00] "
        "points above b of the same seed (n = 2).",
    ]


def test_two_that_are_always_equal_cannot_be_told_apart():
    (said,) = sentences.of_best([made("A", (0.5, 0.5)), made("b", (0.5, 0.5))])
    assert said == (
        "Net on Data at 10x: A has the highest mean accuracy, 50.00 [50.00, 50.00] % (n = 2), 0.00 [0.00, 0.00] "
        "points above b of the same seed (n = 2): which of the two is better cannot be said."
    )


def test_what_missed_its_compression_is_named_by_panel():
    groups = [
        dense((0.9,), weight_sparsity=0.5),
        made("A", (0.5,), weight_sparsity=0.8),
        made("B", (0.5,), weight_sparsity=0.9),
        made("A", (0.5,), weight_sparsity=0.7, control="shuffled"),
        made("A", (0.5,), weight_sparsity=0.75, panel="Other"),
        made("A", (0.5,), weight_sparsity=0.9, panel="Third"),
    ]
    start = "compared at what was asked for, though what was reached is another:"
    assert list(sentences.of_missed(groups)) == [f"Net on Data: {start} A 5x for 10x.", f"Other: {start} A 4x for 10x."]


def test_ranks_that_differ_name_what_is_behind_the_best():
    def ranking(name, p, critical, left_out=()):
        ranks = None if p is None else Ranks({"A": 1.25, "b": 2.0, "C": 2.75}, 7, p, critical)
        return Ranking(Scope(name, {}), ranks, list(left_out))

    found = [
        ranking("none", None, 0),
        ranking("one", 0.012, 1.0),
        ranking("two", 0.012, 3.0, ("D", "E")),
        ranking("three", 0.25, 1.0, ("D",)),
    ]
    assert list(sentences.of_ranks(found)) == [
        "one: over 7 blocks, the mean ranks of 3 methods differ (Friedman, p = 0.012; critical difference 1.00): A, of "
        "mean rank 1.25, is distinguishable from C (2.75).",
        "two: over 7 blocks, the mean ranks of 3 methods differ (Friedman, p = 0.012; critical difference 3.00): A, of "
        "mean rank 1.25, is distinguishable from none of the others. Not ranked, as runs are missing: D, E.",
        "three: over 7 blocks, the mean ranks of 3 methods are not distinguishable (Friedman, p = 0.25). Not ranked, "
        "as runs are missing: D.",
    ]


def test_pairs_are_counted_by_scope():
    def pair(scope, blocks, corrected):
        return Pair(Scope(scope, {}), "A", "B", Mean(0.1, 0.1, blocks), 0.01, corrected)

    found = [
        pair("single", 1, 0.01),
        *(pair("many", blocks, corrected) for blocks, corrected in ((20, 0.04), (9, 0.05), (12, 0.06))),
        pair("two", 2, 0.01),
        pair("equal", 9, 0.01),
        pair("equal", 9, 0.01),
    ]
    assert list(sentences.of_pairs(found)) == [
        "many: of 3 pairs of methods, over 9 to 20 blocks, 1 are distinguishable (Wilcoxon, corrected by Holm); the "
        "table of pairs says which.",
        "two: of 1 pair of methods, over 2 blocks, nothing can be concluded: with so few blocks no corrected p can be "
        "below 0.05.",
        "equal: of 2 pairs of methods, over 9 blocks, 2 are distinguishable (Wilcoxon, corrected by Holm); the table "
        "of pairs says which.",
    ]


def test_collapses_are_told_by_panel():
    def collapse(line, *accuracies, panel="Net", threshold=0.5):
        points = [made(line, pair, f"{number}x") for number, pair in enumerate(accuracies, start=2)]
        return Collapse(panel, line, Mean(0.9, None, 1), threshold, points)

    found = [
        collapse("A", (0.6, 0.6), (0.6, 0.6), (0.4, 0.4), (0.3, 0.3)),
        collapse("B", (0.4, 0.4), threshold=0.45),
        collapse("C", (0.6, 0.6), (0.7, 0.7)),
        collapse("D", (0.4, None)),
        collapse("E", (0.7, 0.7), panel="Other"),
    ]
    assert list(sentences.of_collapses(found)) == [
        "Net: collapsed, below 45.00 % or 50.00 % halfway between dense and guessing: A at 4x (40.00 [40.00, 40.00] %, "
        "n = 2; above it at 3x), B at 2x (40.00 [40.00, 40.00] %, n = 2).",
        "Net: not collapsed, at the most that was pruned: C at 3x (70.00 [70.00, 70.00] %, n = 2).",
        "Other: not collapsed, at the most that was pruned: E at 2x (70.00 [70.00, 70.00] %, n = 2).",
    ]


def test_what_has_one_seed_alone_is_named():
    groups = [made("A", (0.5,)), made("B", (0.5, 0.5)), made("C", (None,)), made("A", (0.5, 0.5), panel="Other")]
    assert list(sentences.of_single_seeds([*groups, made("C", (None, 0.5), "20x")])) == [
        "Net on Data: of one seed alone (n = 1), so that nothing can be concluded: A at 10x, C at 20x."
    ]
