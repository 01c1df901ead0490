"""Calibration by hand: errors, likelihood and Brier score of a handful of predictions; the tester's files."""

import csv
import math

import pytest
import torch
from torch import nn

from secateur.measuring.calibration import calibrate
from tests.commands import QUICK


def predictions(*rows):
    """Inputs whose softmax is these probabilities, with the classes that are right."""
    probabilities, right = zip(*rows, strict=True)
    return torch.tensor(probabilities).log(), torch.tensor(right)


#: Confidences 0.6, 0.9, 0.9, 0.7 and 0.5; the first, second and last are right.
FIVE = (
    ([0.6, 0.4], 0),
    ([0.1, 0.9], 1),
    ([0.9, 0.1], 1),
    ([0.3, 0.7], 0),
    ([0.5, 0.5], 0),
)


def test_errors_of_five_predictions_in_four_bins():
    found = calibrate(nn.Identity(), [predictions(*FIVE[:2]), predictions(*FIVE[2:])], bins=4)
    # 0.5 belongs to (0.25, 0.5]; 0.6 and 0.7 to (0.5, 0.75], one of them right; 0.9 twice, one of them right
    assert found.images == [0, 1, 2, 2]
    assert found.confidence == pytest.approx([0, 0.5, 0.65, 0.9])
    assert found.accuracy == pytest.approx([0, 1, 0.5, 0.5])
    assert found.gaps == pytest.approx([0, 0.5, -0.15, -0.4])
    assert found.expected_error == pytest.approx((1 * 0.5 + 2 * 0.15 + 2 * 0.4) / 5)
    assert found.maximum_error == pytest.approx(0.5)
    assert found.mean_accuracy == pytest.approx(3 / 5)
    assert found.mean_confidence == pytest.approx(3.6 / 5)


def test_likelihood_and_brier_score_of_five_predictions():
    found = calibrate(nn.Identity(), [predictions(*FIVE)])
    likelihoods = [0.6, 0.9, 0.1, 0.3, 0.5]
    assert found.negative_log_likelihood == pytest.approx(-sum(map(math.log, likelihoods)) / 5)
    # of two classes both are wrong by 1 - p
    assert found.brier_score == pytest.approx(sum(2 * (1 - likelihood) ** 2 for likelihood in likelihoods) / 5)


def test_brier_score_of_three_classes():
    found = calibrate(nn.Identity(), [predictions(([0.2, 0.3, 0.5], 1))])
    assert found.brier_score == pytest.approx(0.2**2 + 0.7**2 + 0.5**2)


def test_who_is_right_as_often_as_sure_is_calibrated():
    found = calibrate(nn.Identity(), [predictions(*[([0.75, 0.25], int(number % 4 == 0)) for number in range(8)])])
    assert found.expected_error == pytest.approx(0, abs=1e-6)
    assert found.maximum_error == pytest.approx(0, abs=1e-6)


def test_certain_and_wrong_is_the_worst():
    logits, targets = torch.tensor([[1000.0, 0.0]]), torch.tensor([1])
    found = calibrate(nn.Identity(), [(logits, targets)])
    assert (found.expected_error, found.maximum_error, found.brier_score) == (1, 1, 2)
    assert found.negative_log_likelihood == 1000
    assert found.images == [0] * 14 + [1]


def test_the_network_is_in_evaluation_mode_meanwhile():
    network = nn.Sequential(nn.Dropout(0.9))
    found = calibrate(network, [predictions(*FIVE)])
    assert found.mean_confidence == pytest.approx(3.6 / 5)
    assert network.training


def test_two_networks_side_by_side(run):
    trained = "--data_set RUBBISH --epochs 1 --N 64"
    names = [
        run(f"--model {name} {trained} --run_name {name} {QUICK}").folder.name
        for name in ("LogisticRegression", "MLP5")
    ]
    tested = run(f"--eval --test_scheme Calibration --calibration_bins 5 --checkpoint_name {','.join(names)} {QUICK}")
    assert tested.status == 0, tested.err
    found = tested.results["calibration"]
    assert list(found) == ["LogisticRegression", "MLP5"]
    for label, figures in found.items():
        assert figures["accuracy"] == pytest.approx(tested.results["compared"][label]["test_accuracy"])
        assert figures["nll"] == pytest.approx(tested.results["compared"][label]["test_loss"], rel=1e-4)
        assert len(figures["bins"]["images"]) == 5
    with (tested.folder / "output" / "calibration.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["expected_error"]) for row in rows] == [one["expected_error"] for one in found.values()]
    assert (tested.folder / "output" / "calibration.png").stat().st_size > 10_000
    with (tested.folder / "output" / "compared.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], float(row["test_accuracy"])) for row in rows] == [
        (label, one["test_accuracy"]) for label, one in tested.results["compared"].items()
    ]
    assert "5 bins" in tested.out
