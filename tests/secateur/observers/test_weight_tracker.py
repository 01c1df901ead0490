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
        weight.data = torch.tensor(values)
        tracker.weights = [weight.detach()]
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
    row = (tmp_path / "weight_statistics.csv").read_text().splitlines()[1].split(",")
    assert row[:2] == ["a", "3"]
    assert [float(value) for value in row[2:4]] == pytest.approx([2 / 3, 1 / 3])
