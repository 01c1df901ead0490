"""The testers that prune copies of a network: what they ask for, and what they tabulate and draw of what comes back."""

from types import SimpleNamespace

import pytest

from secateur.measuring.evaluation import Evaluation
from secateur.testers import Sensitivity as Sensitivity_module
from secateur.testers.DefaultTester import DefaultTester
from secateur.testers.Merging import CRITERIA, Merging
from secateur.testers.Sensitivity import FORMS as SENSITIVITY_FORMS
from secateur.testers.Sensitivity import Sensitivity
from secateur.testers.Sparsification import Sparsification
from secateur.utils.errors import UserError

MLP = "--model LeNet300 --data_set DIGITS --N 20"
#: The network itself, of which the testers begin.
WHOLE = Evaluation(1.0, 0.875, None)


@pytest.fixture
def evaluations(monkeypatch):
    """The results of evaluations, in turn; returns the networks that were evaluated."""

    def make(*found):
        left, asked = [WHOLE, *found], []

        def on_held_out(self, run, network):
            asked.append(network)
            return left.pop(0)

        monkeypatch.setattr(DefaultTester, "on_held_out", on_held_out)
        return asked

    return make


def test_merging_compares_three_ways_at_each_ratio(evaluating, evaluations, calls_of, monkeypatch):
    run = evaluating("--test_scheme Merging --merge_criteria l2-GM,l1-norm --merge_ratios .25", MLP)
    tester, removals, logged = Merging(run), [], []

    def removed(*arguments):
        removals.append(arguments)
        notices = ["told once"] if arguments[-1] == "merge" else []
        return f"network {len(removals)}", SimpleNamespace(kept=300, candidates=400, notices=notices)

    monkeypatch.setattr("secateur.testers.Merging.removed", removed)
    monkeypatch.setattr(run.log, "warning", logged.append)
    drawn = calls_of("Merging.accuracies")
    asked = evaluations(*(Evaluation(loss, loss / 8, None) for loss in range(1, 7)))
    results = tester.evaluate()
    ways = ("none", "merge", "least_squares")
    assert removals == [(run, CRITERIA[name], 0.25, way) for name in ("l2-GM", "l1-norm") for way in ways]
    assert asked == [run.executed, *(f"network {number}" for number in range(1, 7))]
    start = {"ratio": 0.25, "node_sparsity": 0.25}
    shown = [
        {"criterion": "l2-GM", **start, "original": 0.875, "pruned": 1 / 8, "merged": 2 / 8, "least_squares": 3 / 8},
        {"criterion": "l1-norm", **start, "original": 0.875, "pruned": 4 / 8, "merged": 5 / 8, "least_squares": 6 / 8},
    ]
    names = ("original", "pruned", "merged", "least_squares")
    assert results["merging"] == [
        {"criterion": row["criterion"], **start}
        | {f"{name}_accuracy": row[name] for name in names}
        | {f"{name}_loss": row[name] * 8 for name in names[1:]}
        | {"original_loss": 1.0}
        for row in shown
    ]
    title = "LeNet300 on DIGITS: test accuracy without training"
    forms = dict.fromkeys(names, "{:.2%}") | {"ratio": "{:.1%}", "node_sparsity": "{:.2%}"}
    assert run.hooks.tables == [("merging", title, shown, forms)]
    assert drawn == [(shown, names, title, run.folder.output / "merging.png")]
    assert logged == ["told once"]
    assert run.notices[-1] == "told once"


@pytest.mark.parametrize("flags", ["--compensate merge", "--repair merge", "--repair merge,bn"])
def test_merging_is_not_asked_for_beside_the_comparison(evaluating, flags):
    with pytest.raises(UserError, match=r"^Merging compares all methods of --compensate: leave it out"):
        Merging(evaluating(f"--test_scheme Merging {flags}", MLP))


@pytest.mark.parametrize(
    ("criterion", "layers"),
    [("Magnitude", ["features.1", "features.3", "classifier"]), ("L1Norm", ["features.3", "features.1"])],
)
def test_each_layer_is_pruned_alone_to_each_sparsity(
    evaluating, evaluations, calls_of, bar_of, monkeypatch, criterion, layers
):
    flags = f"--sensitivity_criterion {criterion} --sensitivity_sparsities .5,.25 --sensitivity_batches 1"
    run = evaluating(f"--test_scheme Sensitivity {flags}", MLP)
    tester, asked, repairs = Sensitivity(run), [], []
    bars, steps = bar_of("Sensitivity")

    def pruned_by(*arguments, **options):
        asked.append((arguments, options))
        return "pruned", repairs.append

    monkeypatch.setattr(Sensitivity_module, "pruned_by", pruned_by)
    drawn = calls_of("Sensitivity.heat_map")
    trials = [(layer, sparsity) for layer in layers for sparsity in (0.5, 0.25)]
    evaluated = evaluations(*(Evaluation(0.0, number, None) for number in range(2 * len(trials))))
    results = tester.evaluate()
    assert evaluated == [run.executed] + ["pruned"] * 2 * len(trials)
    options = {"ignore_layers": None, "pruning_limit": 0.0}
    assert asked == [
        ((run, tester.kind, 0.0, 1), {**options, "layer_sparsity": [f"{layer}={sparsity:.9f}"]})
        for layer, sparsity in trials
    ]
    assert repairs == [["bn"]] * len(trials)
    rows = []
    for number, (layer, sparsity) in enumerate(trials):
        if sparsity == 0.5:
            rows.append({"layer": layer, "sparsity": 0.0, "accuracy": 0.875, "recalibrated_accuracy": 0.875})
        found = {"accuracy": 2 * number, "recalibrated_accuracy": 2 * number + 1}
        rows.append({"layer": layer, "sparsity": sparsity, **found})
    assert (results["sensitivity"], results["sensitivity_criterion"]) == (rows, criterion)
    title = f"LeNet300 on DIGITS, one layer pruned by {criterion}"
    assert run.hooks.tables == [("sensitivity", title, rows, SENSITIVITY_FORMS)]
    assert drawn == [(rows, "test", title, run.folder.output / "sensitivity.png")]
    assert bars == [(len(trials), "sparsities")]
    assert steps == [(1, layer) for layer, _ in trials]


def test_a_criterion_that_decides_itself_how_much_is_pruned_has_no_sensitivity(evaluating):
    with pytest.raises(UserError, match=r"^--sensitivity_criterion HoyerSquare decides itself"):
        Sensitivity(evaluating("--test_scheme Sensitivity --sensitivity_criterion HoyerSquare", MLP))


@pytest.mark.parametrize(("ranking", "distribution"), [("layer", "uniform"), ("network", "global")])
def test_weights_and_units_go_at_each_sparsity(evaluating, evaluations, calls_of, monkeypatch, ranking, distribution):
    run = evaluating(f"--test_scheme Sparsification --k_vals .25,1 --ranking {ranking}", MLP)
    selections, copies = [], []

    def select(*arguments):
        selections.append(arguments)
        return f"kept {len(selections)}"

    def without(*arguments):
        copies.append(arguments)
        return f"copy {len(copies)}"

    monkeypatch.setattr("secateur.testers.Sparsification.select", select)
    monkeypatch.setattr("secateur.testers.Sparsification.without", without)
    animated = calls_of("Sparsification.distributions")
    drawn = calls_of("Sparsification.accuracy_and_loss")
    asked = evaluations(*(Evaluation(loss, loss / 8, None) for loss in range(1, 5)))
    results = Sparsification(run).evaluate()
    # 64 * 300 + 300 * 100 weights and 300 + 100 units
    assert [kept for _, kept, _ in selections] == [36_900, 0, 300, 0]
    assert {how for *_, how in selections} == {distribution}
    assert [{name: tuple(norm.shape) for name, norm in norms.items()} for norms, *_ in selections[::2]] == [
        {"features.1": (300, 64), "features.3": (100, 300)},
        {"features.1": (300,), "features.3": (100,)},
    ]
    assert copies == [(run.network, f"kept {number}") for number in range(1, 5)]
    assert asked == [run.executed, *(f"copy {number}" for number in range(1, 5))]
    columns = ("weight_accuracy", "weight_loss", "unit_accuracy", "unit_loss")
    rows = [
        {"sparsity": 0.25} | dict(zip(columns, (1 / 8, 1, 3 / 8, 3), strict=True)),
        {"sparsity": 1} | dict(zip(columns, (2 / 8, 2, 4 / 8, 4), strict=True)),
    ]
    assert results["sparsification"] == rows
    assert "sparsification_methods" not in results
    title, output = "LeNet300 on DIGITS, pruned without training", run.folder.output
    forms = {"sparsity": "{:.1%}", "weight_accuracy": "{:.2%}", "unit_accuracy": "{:.2%}"}
    forms |= {"weight_loss": "{:.4f}", "unit_loss": "{:.4f}"}
    assert run.hooks.tables == [("sparsification", title, rows, forms)]
    assert drawn == [(rows, "test", title, output / "sparsification.png")]
    kept = [{0.25: "kept 1", 1: "kept 2"}, {0.25: "kept 3", 1: "kept 4"}]
    assert [call[0] for call in animated] == ["weight", "unit"]
    assert [call[2:] for call in animated] == [
        (kept[0], "LeNet300", output / "pruned_weights.gif"),
        (kept[1], "LeNet300", output / "pruned_units.gif"),
    ]


def test_the_errors_of_a_method_are_those_before_its_first_repair_and_after_its_last(
    evaluating, evaluations, calls_of, monkeypatch
):
    flags = "--k_vals .25 --methods L1Norm --method_distribution uniform --method_batches 2"
    run = evaluating(f"--test_scheme Sparsification {flags} --method_repairs bn,least_squares,bias", MLP)
    tester, asked, repairs = Sparsification(run), [], []
    errors = [SimpleNamespace(error_before=9 - n, error_after=8 - n) for n in range(3)]

    def pruned_by(*arguments):
        asked.append(arguments)
        return "pruned", lambda names: repairs.append(names) or errors

    monkeypatch.setattr("secateur.testers.Sparsification.pruned_by", pruned_by)
    drawn = calls_of("Sparsification.methods")
    evaluations(Evaluation(0.0, 0.25, None), Evaluation(0.0, 0.5, None))
    tester.on_held_out(run, run.network)  # which the testers begin with
    found = tester.compare_methods("a title")
    assert asked == [(run, tester.criteria[0], 0.25, 2, "uniform")]
    assert repairs == [["bn", "least_squares", "bias"]]
    row = {"method": "L1Norm", "sparsity": 0.25, "accuracy": 0.25, "repaired_accuracy": 0.5}
    rows = [row | {"error": 9, "repaired_error": 6}]
    assert found == {"sparsification_methods": rows}
    forms = {"sparsity": "{:.1%}", "accuracy": "{:.2%}", "repaired_accuracy": "{:.2%}"}
    forms |= {"error": "{:.4f}", "repaired_error": "{:.4f}"}
    title = "a title; repaired by bn, least_squares, bias"
    assert run.hooks.tables == [("sparsification_methods", title, rows, forms)]
    assert drawn == [(rows, "test", title, run.folder.output / "sparsification_methods.png")]


def test_methods_are_compared_where_some_are_named(evaluating, evaluations, calls_of, monkeypatch):
    run = evaluating("--test_scheme Sparsification --k_vals 0 --methods L1Norm", MLP)
    for name in ("distributions", "accuracy_and_loss"):
        calls_of(f"Sparsification.{name}")
    evaluations(WHOLE, WHOLE)
    monkeypatch.setattr(Sparsification, "compare_methods", lambda self, title: {"by": title})
    assert Sparsification(run).evaluate()["by"] == "LeNet300 on DIGITS, pruned without training"
