"""What the testers tabulate, draw and return, worked by hand from what was measured."""

from statistics import fmean

import pytest
import torch

from secateur.measuring.calibration import Calibration as Calibrated
from secateur.measuring.evaluation import Evaluation
from secateur.measuring.layers import WHOLE
from secateur.testers.Calibration import FORMS as CALIBRATION_FORMS
from secateur.testers.Calibration import Calibration
from secateur.testers.Corruption import Corruption
from secateur.testers.LayerReport import LayerReport
from secateur.utils.seeds import seeded_generator

LINEAR = "--model LogisticRegression --data_set DIGITS --N 20"
MLP = "--model LeNet300 --data_set DIGITS --N 20"
LEVELS = range(1, 6)


@pytest.fixture
def accuracies(monkeypatch):
    """Let each evaluation of a corruption have the next of these accuracies; returns what was evaluated."""

    def make(found):
        left, asked = list(found), []

        def evaluate(*arguments):
            asked.append(arguments)
            return Evaluation(0.0, left.pop(0), None)

        monkeypatch.setattr("secateur.testers.Corruption.evaluate", evaluate)
        return asked

    return make


def test_calibration_of_two_networks(evaluating, calls_of):
    found = Calibrated([3, 1], [0.25, 0.75], [0.5, 1.0], 1.5, 0.125)
    asked = calls_of("Calibration.calibrate", found)
    drawn = calls_of("Calibration.reliability")
    run = evaluating("--test_scheme Calibration --calibration_bins 2", LINEAR, f"{LINEAR} --seed 4")
    results = Calibration(run).evaluate()
    assert asked == [(one.executed, run.data.held_out, 2, run.precision.autocast) for one in run.compared.values()]
    title = "calibration on DIGITS, 360 images, 2 bins"
    rows = [{"network": label, **found.figures} for label in ("net0", "net1")]
    assert run.hooks.tables[1:] == [("calibration", title, rows, CALIBRATION_FORMS)]
    assert drawn == [({"net0": found, "net1": found}, title, run.folder.output / "calibration.png")]
    expected = {**found.figures, "bins": found.by_bin}
    assert results["calibration"] == {"net0": expected, "net1": expected}
    assert list(results)[-2:] == ["compared", "calibration"]


def test_accuracy_under_corruption_by_level_with_its_means(evaluating, calls_of, accuracies):
    drawn, shown = calls_of("Corruption.curves"), calls_of("Corruption.examples")
    run = evaluating(
        "--test_scheme Corruption --corruptions blur,contrast --corruption_images 3", LINEAR, f"{LINEAR} --seed 4"
    )
    clean = {"net0": 0.5, "net1": 1.0}
    found = {
        "net0": {"blur": [0.5, 0.4, 0.3, 0.2, 0.1], "contrast": [1.0, 0.8, 0.6, 0.4, 0.2]},
        "net1": {"blur": [0.9, 0.8, 0.7, 0.6, 0.5], "contrast": [0.1, 0.1, 0.1, 0.1, 0.6]},
    }
    asked = accuracies([*clean.values(), *(one for of in found.values() for levels in of.values() for one in levels)])
    tester = Corruption(run)
    results = tester.evaluate()
    networks = [one.executed for one in run.compared.values()]
    assert [call[0] for call in asked] == [*networks, *[networks[0]] * 10, *[networks[1]] * 10]
    assert all(call[2] is tester.batches for call in asked[:2])
    assert all(call[3:] == (10, run.precision.autocast) for call in asked)
    mean = {"net0": fmean([0.3, 0.6]), "net1": fmean([0.7, 0.2])}
    rows = []
    for label, of in found.items():
        rows.append({"network": label, "corruption": "none", "mean": clean[label]})
        for name, levels in of.items():
            by_level = {f"level_{level}": value for level, value in zip(LEVELS, levels, strict=True)}
            rows.append({"network": label, "corruption": name, "mean": pytest.approx(fmean(levels)), **by_level})
        rows.append({"network": label, "corruption": "mean", "mean": pytest.approx(mean[label])})
    title = "accuracy on DIGITS corrupted, 3 images"
    forms = dict.fromkeys(["mean", *(f"level_{level}" for level in LEVELS)], "{:.2%}")
    assert run.hooks.tables[1:] == [("corruption", title, rows, forms)]
    assert drawn == [(clean, found, title, run.folder.output / "corruption.png")]
    ((image, *others),) = shown
    assert others == [["blur", "contrast"], run.options.seed, run.folder.output / "corruption_examples.png"]
    # The first of the images, as pixels in [0, 1].
    torch.testing.assert_close(image, tester.batches.images.pixels[:1] / 255)
    assert results["corruption"] == {
        label: {"clean": clean[label], "mean": pytest.approx(mean[label]), **found[label]} for label in found
    }


def test_the_same_images_are_corrupted_whatever_the_seed(evaluating):
    options = "--test_scheme Corruption --corruption_images"
    run = evaluating(f"{options} 3 --seed 1", LINEAR)
    order = torch.randperm(360, generator=seeded_generator(0, "images to corrupt"))
    expected = run.data.held_out.images.pixels[order[:3]]
    assert torch.equal(Corruption(run).batches.images.pixels, expected)
    assert torch.equal(Corruption(evaluating(f"{options} 360 --seed 2", LINEAR)).batches.images.pixels[:3], expected)


def row(layer, sparsity):
    return {"layer": layer, "weights": 8, "sparsity": sparsity}


def test_layers_of_one_network(evaluating, calls_of):
    own = [row("a", 0.25), row("b", 0.5), row(WHOLE, 0.375)]
    calls_of("LayerReport.layer_figures", own)
    histograms = calls_of("LayerReport.weight_histograms", "histograms")
    sparsities, weights = calls_of("LayerReport.layer_sparsity"), calls_of("LayerReport.weights_of_layers")
    run = evaluating("--test_scheme LayerReport", MLP)
    results = LayerReport(run).evaluate()
    title = "LeNet300 on DIGITS"
    assert run.hooks.tables == [("layers", f"{title}: layers", own, {"sparsity": "{:.2%}"})]
    (label,) = run.compared
    assert sparsities == [({label: {"a": 0.75, "b": 0.5}}, title, run.folder.output / "layer_sparsity.png")]
    assert histograms == [(run.compared,)]
    assert weights == [("histograms", title, run.folder.output / "layer_weights.png")]
    assert results["layers"] == {label: own}


def test_the_whole_network_comes_last_where_a_later_one_has_layers_of_its_own(evaluating, calls_of, monkeypatch):
    first, second = [row("a", 0.25), row(WHOLE, 0.25)], [row("a", 0.5), row("b", 1.0), row(WHOLE, 0.75)]
    left = [first, second]
    monkeypatch.setattr("secateur.testers.LayerReport.layer_figures", lambda run: left.pop(0))
    calls_of("LayerReport.weight_histograms")
    sparsities, weights = calls_of("LayerReport.layer_sparsity"), calls_of("LayerReport.weights_of_layers")
    run = evaluating("--test_scheme LayerReport", LINEAR, MLP)
    assert LayerReport(run).evaluate()["layers"] == {"net0": first, "net1": second}
    title = "LogisticRegression, LeNet300 on DIGITS"
    rows = [{"network": "net0", **one} for one in first] + [{"network": "net1", **one} for one in second]
    side_by_side = [
        {"layer": "a", "net0": 0.25, "net1": 0.5},
        {"layer": "b", "net1": 1.0},
        {"layer": WHOLE, "net0": 0.25, "net1": 0.75},
    ]
    assert run.hooks.tables[1:] == [
        ("layers", f"{title}: layers", rows, {"sparsity": "{:.2%}"}),
        ("layer_sparsity", f"{title}: sparsity of each layer", side_by_side, {"net0": "{:.2%}", "net1": "{:.2%}"}),
    ]
    assert sparsities[0][0] == {"net0": {"a": 0.75}, "net1": {"a": 0.5, "b": 0.0}}
    assert len(weights) == 1
