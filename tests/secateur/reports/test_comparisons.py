"""What is compared with what, and what is concluded of it, by hand."""

import json
from types import SimpleNamespace

import pytest

from secateur.reports.blocks import ALL, Scope, by_seed, dense_of, difference, scopes
from secateur.reports.collect import collect
from secateur.reports.comparison_tables import letter, of_collapses, of_controls, of_dense, of_pairs, of_ranks
from secateur.reports.comparisons import against_dense, collapses, controls, pairs, rankings
from secateur.reports.conclusions import conclude
from secateur.reports.groups import group
from secateur.reports.rank_figure import rank_pictures
from secateur.reports.reached import missed


@pytest.fixture
def grouped(make_run_folder, tmp_path):
    """Write runs as (criterion, accuracies by seed from 1 on, settings) and group them; ten classes."""

    def make(*runs):
        for criterion, accuracies, settings in runs:
            for seed, accuracy in enumerate(accuracies, start=1):
                if accuracy is None:
                    continue
                folder = make_run_folder(criterion, seed, accuracy, **settings)
                (folder / "models").mkdir()
                (folder / "models" / "Net_finished.json").write_text(json.dumps({"num_classes": 10}))
        return group(collect([tmp_path])[0])

    return make


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


LIMITS = [{"pruning_limit": limit} for limit in (0.9, 0.95)]


def test_a_run_is_compared_with_the_dense_one_of_its_seed(grouped):
    groups = grouped(
        ("EmptyCrit", (0.90, 0.92, 0.91), {}), ("SNIP", (0.80, 0.84, 0.82), {}), ("GRASP", (None, None, None, 0.5), {})
    )
    (dense, grasp, snip) = groups
    assert dense_of(snip, groups) is dense
    assert difference(snip, dense).value == pytest.approx(-0.09)
    assert difference(grasp, dense) is None
    table = of_dense(against_dense(groups))
    # differences 10, 8, 9 points: deviation 1; t = 9 sqrt(3), p = 1 - t / sqrt(t^2 + 2) with 2 degrees of freedom
    assert texts(table) == [
        ["LeNet300 on DIGITS", "GRASP", "10x", "1", "50.00", "", "", "", "", "", "", "", "nothing to compare with"],
        ["LeNet300 on DIGITS", "SNIP", "10x", "3", "82.00", "77.03", "86.97", "3", "-9.00", "-11.48", "-6.52", "0.0041",
         "worse"],
    ]  # fmt: skip
    sentences, *_ = conclude(groups, groups)
    assert sentences[0] == (
        "LeNet300 on DIGITS: against the dense network of the same seed, SNIP loses 9.00 [6.52, 11.48] points at 10x "
        "(n = 3)."
    )


def test_a_run_counts_with_an_accuracy_from_0_to_1_alone():
    found = [
        SimpleNamespace(accuracy=accuracy, settings={"seed": seed})
        for accuracy, seed in ((0.5, 1), (0.7, 1), (None, 2), (1.5, 3), (-0.5, 4), (0.0, 5), (1.0, 6))
    ]
    assert by_seed(SimpleNamespace(runs=found)) == {"1": pytest.approx(0.6), "5": 0.0, "6": 1.0}


def test_runs_of_one_seed_are_one_pair(grouped, make_run_folder, tmp_path):
    grouped(("EmptyCrit", (0.9,), {}), ("SNIP", (0.8,), {}))
    make_run_folder("SNIP", 1, 0.6)
    groups = group(collect([tmp_path])[0])
    assert (difference(groups[1], groups[0]).n, difference(groups[1], groups[0]).value) == (1, pytest.approx(-0.2))
    assert against_dense(groups)[0].verdict == "n too small"
    assert conclude(groups, groups)[0] == [
        "LeNet300 on DIGITS: of one seed alone (n = 1), so that nothing can be concluded: EmptyCrit at 1x, SNIP at 10x."
    ]


def test_without_a_dense_run_a_line_is_compared_with_its_own_point_at_compression_1(grouped):
    groups = grouped(("SNIP", (0.9, 0.9), {"pruning_limit": 0.0}), ("SNIP", (0.8, 0.7), {}))
    assert [(one.target, dense_of(one, groups).target) for one in groups] == [("1x", "1x"), ("10x", "1x")]
    (found,) = against_dense(groups)
    assert found.difference.value == pytest.approx(-0.15)


def test_of_several_dense_networks_it_is_the_one_that_was_trained_alike(grouped):
    groups = grouped(
        *((criterion, (0.9,), {"learning_rate": rate}) for criterion in ("EmptyCrit", "SNIP") for rate in (0.1, 0.2))
    )
    assert [dense_of(one, groups).line for one in groups[2:]] == [
        "EmptyCrit, learning_rate 0.1",
        "EmptyCrit, learning_rate 0.2",
    ]


def test_methods_are_compared_over_the_blocks_that_have_both(grouped):
    groups = grouped(
        *(("A", (0.8, 0.8, 0.8), limit) for limit in LIMITS),
        *(("B", (0.7, 0.6, 0.5), limit) for limit in LIMITS),
        *(("C", (0.1, None, None), limit) for limit in LIMITS),
    )
    table = of_pairs(pairs(groups))
    # 0.1, 0.2, 0.3 twice: all six of one sign, p = 2 / 2^6, and three tests
    assert [row[1:5] for row in texts(table)] == [
        ["A", "B", "6", "20.00"],
        ["A", "C", "2", "70.00"],
        ["B", "C", "2", "60.00"],
    ]
    assert [row[7:] for row in texts(table)] == [
        ["0.0312", "0.0938", "not distinguishable"],
        ["0.5000", "1.0000", "not distinguishable"],
        ["0.5000", "1.0000", "not distinguishable"],
    ]
    assert any("nothing can be concluded: with so few blocks" in line for line in conclude(groups, groups)[0])


def test_methods_that_lack_runs_are_not_ranked(grouped):
    groups = grouped(
        *((name, [base] * 3, limit) for name, base in (("A", 0.8), ("B", 0.7), ("C", 0.6)) for limit in LIMITS),
        ("D", (0.9,), LIMITS[0]),
    )
    (found,) = rankings(groups)
    assert (found.ranks.mean, found.ranks.blocks, found.left_out) == ({"A": 1, "B": 2, "C": 3}, 6, ["D"])
    # critical difference 2.344 sqrt(12 / 36) = 1.353: neighbours are not distinguishable
    assert [(row[1], row[3], row[4], row[6]) for row in texts(of_ranks([found]))] == [
        ("A", "1.00", "1.35", "a"),
        ("B", "2.00", "1.35", "ab"),
        ("C", "3.00", "1.35", "b"),
    ]
    (picture,) = rank_pictures([found])
    assert picture.name == "ranks_1"
    axes = picture.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["A 1.00", "B 2.00", "C 3.00"]
    bars = [line.get_xdata().tolist() for line in axes.get_lines()[3:]]
    assert bars == [[1, 2], [2, 3]]
    assert "A, of mean rank 1.00, is distinguishable from C (3.00)." in "".join(conclude(groups, groups)[0])


def test_a_gap_costs_the_method_or_the_block_that_lacks_most():
    block = dict.fromkeys("AB", 0.5)
    scope = Scope("", {("p", "10x", "1"): block | {"C": 0.5}, ("p", "10x", "2"): block, ("p", "10x", "3"): block})
    assert scope.complete() == (["A", "B"], [*scope.blocks])
    scope = Scope("", {("p", "10x", str(seed)): dict.fromkeys("ABC", 0.5) for seed in range(4)})
    scope.blocks["p", "20x", "1"] = dict.fromkeys("AB", 0.5)
    assert scope.complete() == (["A", "B", "C"], [*scope.blocks][:4])


def test_several_networks_are_compared_each_and_all_together(grouped):
    groups = grouped(*((name, (0.5,), {"model": model}) for name in "AB" for model in ("Net1", "Net2")))
    assert [(one.name, len(one.blocks)) for one in scopes(groups)] == [
        (ALL, 2),
        ("Net1 on DIGITS", 1),
        ("Net2 on DIGITS", 1),
    ]
    assert scopes(grouped(("A", (0.5,), {}))[:1]) == []


def test_a_method_collapses_where_its_mean_falls_below_halfway_to_guessing(grouped, make_run_folder):
    empty = {"layer_densities": {"first": 0.0, "last": 0.5}}
    groups = grouped(
        ("EmptyCrit", (0.9, 0.9), {}),  # of ten classes: halfway to 10 % is 50 %
        ("A", (0.8, 0.2), {"pruning_limit": 0.9}),
        ("A", (0.5, 0.4), {"pruning_limit": 0.95, "results": empty}),
        ("A", (0.6, 0.6), {"pruning_limit": 0.98}),
        ("B", (0.7, 0.6), {"pruning_limit": 0.9}),
        ("C", (0.4, 0.3), {"pruning_limit": 0.9}),
    )
    rows = texts(of_collapses(collapses(groups)))
    assert [row[1:7] + row[7:8] + row[10:] for row in rows] == [
        ["A", "90.00", "50.00", "10x", "20x", "2", "45.00", "20x"],
        ["B", "90.00", "50.00", "10x", "", "", "", ""],
        ["C", "90.00", "50.00", "", "10x", "2", "35.00", ""],
    ]
    sentences = "\n".join(conclude(groups, groups)[0])
    assert (
        "LeNet300 on DIGITS: collapsed, below 50.00 % halfway between dense and guessing: A at 20x (45.00 "
        "[-18.53, 108.53] %, n = 2; above it at 10x), C at 10x (35.00 [-28.53, 98.53] %, n = 2)."
    ) in sentences
    assert "not collapsed, at the most that was pruned: B at 10x (65.00 [1.47, 128.53] %, n = 2)." in sentences


def test_where_the_dense_network_guesses_nothing_can_collapse(grouped):
    assert collapses(grouped(("EmptyCrit", (0.2,), {}), ("A", (0.1,), {}))) == []


def test_methods_are_compared_at_what_was_asked_and_what_was_reached_is_named(grouped):
    keeps = [{"pruning_limit": 0.9, "results": {"weight_sparsity": sparsity}} for sparsity in (0.9, 0.902, 0.935)]
    channels = {"pruning_limit": 0.5, "results": {"weight_sparsity": 0.75, "node_sparsity": 0.5}}
    fewer = {"pruning_limit": 0.75, "results": {"weight_sparsity": 0.75, "node_sparsity": 0.5}}
    groups = grouped(
        ("EmptyCrit", (0.9,), {"results": {"weight_sparsity": 0.0}}),
        *((name, (0.8,), kept) for name, kept in zip(("SNIP", "RigL", "SET"), keeps, strict=True)),
        *(("L1Norm", (0.8,), one) for one in (channels, fewer)),
        ("HoyerSquare", (0.7,), {"hoyer_reg": 0.1, "results": {"weight_sparsity": 0.8}}),
    )
    assert [(one.line, one.target) for one in groups if missed(one)] == [("L1Norm", "4x"), ("SET", "10x")]
    (block,) = [values for (_, target, _), values in scopes(groups)[0].blocks.items() if target == "10x"]
    assert [*block] == ["RigL", "SET", "SNIP"]
    assert (
        "LeNet300 on DIGITS: compared at what was asked for, though what was reached is another: L1Norm 2x for 4x, "
        "SET 15.4x for 10x."  # 1 / 0.065
    ) in conclude(groups, groups)[0]


def test_controls_stand_beside_the_run_that_they_are_of(grouped, make_run_folder, tmp_path):
    grouped(("EmptyCrit", (0.9, 0.9), {}), ("GRASP", (0.6, 0.6), {}))
    for seed, accuracy in ((1, 0.8), (2, 0.7)):
        folder = make_run_folder("SNIP", seed, accuracy)
        key = f"0000000{seed}"
        folder.rename(f"{folder}_{key}")
        of = {"control_of": f"_{key}"}
        make_run_folder("UnstructuredRandom", seed, accuracy - 0.1 * seed, control="same_densities", **of)
        sizes = {"parameters_kept": 55, "flops_effective": 1_000_000}
        make_run_folder("Narrower", seed, 0.75, sizes, control="same_parameters", learning_rate=3, **of)
    make_run_folder("Narrower", 1, 0.1, control="same_flops", control_of="_ffffffff")
    runs, _ = collect([tmp_path])
    groups = group(runs)
    assert [(one.name, one.target, len(one.runs)) for one in groups] == [
        ("EmptyCrit", "1x", 2),
        ("GRASP", "10x", 2),
        ("SNIP", "10x", 2),
        ("SNIP: dense, equal parameters", "10x", 2),
        ("SNIP: random, same layer densities", "10x", 2),
    ]
    # SNIP minus random: 10 and 20 points, t = 15 / (7.07 / sqrt(2)) = 3, p = 1 - 2 arctan(3) / pi; 2 tests. Minus dense
    # it is as much, and p that of its own table, where GRASP loses 30 points twice, which is no test.
    rows = texts(of_controls(controls(groups, against_dense(groups[:3]))))
    assert [row[1:4] + row[6:8] + row[11:] for row in rows] == [
        ["SNIP", "10x", "itself", "2", "75.00", "", "", "", "", ""],
        ["SNIP", "10x", "dense", "2", "90.00", "-15.00", "-78.53", "48.53", "0.2048", "not distinguishable"],
        ["SNIP", "10x", "dense, equal parameters", "2", "75.00", "0.00", "-63.53", "63.53", "1.0000",
         "not distinguishable"],
        ["SNIP", "10x", "random, same layer densities", "2", "60.00", "15.00", "-48.53", "78.53", "0.4097",
         "not distinguishable"],
    ]  # fmt: skip
    shown = [one for one in groups if not one.control]
    sentences, tables, _ = conclude(groups, shown)
    assert sentences[2] == (
        "LeNet300 on DIGITS: beside its controls of the same seed, SNIP at 10x is 0.00 [-63.53, 63.53] points below "
        "dense, equal parameters (n = 2: not distinguishable), 15.00 [-48.53, 78.53] points above random, same layer "
        "densities (n = 2: not distinguishable)."
    )
    assert not any("Narrower" in line or "UnstructuredRandom" in line for line in sentences)
    assert [table.name for table in tables] == ["against_dense", "controls", "pairs", "collapse"]


def test_without_the_number_of_classes_nothing_is_said_of_collapse(groups):
    assert collapses(groups) == []


def test_sentences_and_tables_do_not_depend_on_the_order_of_the_runs(grouped, tmp_path):
    grouped(*((name, (0.8, 0.7 - place), limit) for place, name in enumerate("AB") for limit in LIMITS))
    runs, _ = collect([tmp_path])
    one, other = (conclude(found, found) for found in (group(runs), group(runs[::-1])))
    assert one[0] == other[0]
    assert [texts(table) for table in one[1]] == [texts(table) for table in other[1]]


def test_letters_never_end():
    assert [letter(number) for number in (0, 25, 26, 52)] == ["a", "z", "a1", "a2"]
