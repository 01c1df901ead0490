from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from secateur.observers.weight_tracker import DECAY, WeightTracker


def test_flips_mean_and_variance_by_hand(tmp_path):
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))
    run = SimpleNamespace(masks=SimpleNamespace(weights={"a": weight}), folder=SimpleNamespace(output=tmp_path))
    tracker = WeightTracker()
    tracker.run_started(run)
    for values in ([-1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0]):
        weight.data.copy_(torch.tensor(values))  # in place, as an optimizer does
        tracker.batch_finished()
    tracker.run_finished(run)
    statistics = load_file(tmp_path / "weight_statistics.safetensors")
    # from 1 to -1 and from -1 to 2; to zero is no flip
    assert statistics["flips/a"].tolist() == [2.0, 0.0, 0.0]
    mean, variance = 1.0, 0.0
    for value in (-1.0, 2.0, 0.0):
        difference = value - mean
        mean += (1 - DECAY) * difference
        variance = DECAY * (variance + (1 - DECAY) * difference**2)
    assert statistics["mean/a"].tolist() == pytest.approx([mean, 1.0, 0.0])
    assert statistics["variance/a"].tolist() == pytest.approx([variance, 0.0, 0.0])
    head, row = (line.split(",") for line in (tmp_path / "weight_statistics.csv").read_text().splitlines())
    assert ",".join(head) == "layer,weights,flips_per_weight,share_that_flipped,mean_of_mean,mean_of_variance"
    assert row[:2] == ["a", "3"]
    # two flips of three weights, of one of them; the second weight stays at 1
    assert [float(value) for value in row[2:]] == pytest.approx([2 / 3, 1 / 3, (mean + 1) / 3, variance / 3])


def test_statistics_follow_weights_whose_channels_go_and_runs_that_are_resumed(tmp_path):
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    run = SimpleNamespace(masks=SimpleNamespace(weights={"a": weight}), folder=SimpleNamespace(output=tmp_path))
    first = WeightTracker()
    first.run_started(run)
    first.flips = [torch.tensor([[5.0, 6.0], [7.0, 8.0]])]
    first.on_save_state(state := {})
    tracker = WeightTracker()
    tracker.run_started(run)
    tracker.run_resumed(state)
    weight.data = torch.tensor([[3.0], [4.0]]).T
    tracker.pruned(SimpleNamespace(kept_indices={"a.weight": torch.tensor([[2, 3]])}))
    for statistics, values in (("flips", [[7, 8]]), ("mean", [[3, 4]]), ("variance", [[0, 0]]), ("signs", [[1, 1]])):
        assert getattr(tracker, statistics)[0].tolist() == values
    tracker.pruned(SimpleNamespace(kept_indices={}))
    assert tracker.flips[0].tolist() == [[7, 8]]


def test_one_flip_is_a_weight_that_flipped(tmp_path):
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0, 1.0]))
    run = SimpleNamespace(masks=SimpleNamespace(weights={"a": weight}), folder=SimpleNamespace(output=tmp_path))
    tracker = WeightTracker()
    tracker.run_started(run)
    weight.data.copy_(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    tracker.batch_finished()
    tracker.run_finished(run)
    _, row = (tmp_path / "weight_statistics.csv").read_text().splitlines()
    # one flip of four weights; means 0.98, 1, 1, 1; variance 0.99 * 0.01 * 2^2 / 4
    assert [float(value) for value in row.split(",")[1:]] == pytest.approx([4, 0.25, 0.25, 0.995, 0.0099])
