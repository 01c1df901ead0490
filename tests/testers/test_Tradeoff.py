"""Accuracy against latency: each budget is met by a made-up clock, and dense networks stand beside the pruned ones."""

import pytest
import torch
from PIL import Image

from secateur.measuring.flops import count_flops
from secateur.runs.checkpoint import save_checkpoint
from secateur.testers.Tradeoff import Tradeoff


@pytest.fixture
def clock(monkeypatch):
    """A clock by which each operation takes a nanosecond."""

    def medians(networks, images, budget, least=0):
        return {name: 1e-9 * len(images) * count_flops(one, images[:1]).total for name, one in networks.items()}

    for place in ("secateur.pruning.budget", "secateur.measuring.latency"):
        monkeypatch.setattr(f"{place}.median_seconds", medians)


def test_the_curve_goes_from_the_network_through_all_budgets_that_can_be_met(make_run, clock):
    flags = "--data_set DIGITS --N 40 --batch_size 20"
    folders = []
    for model in ("LeNet5", "MLP5"):
        trained = make_run(f"--model {model} {flags} --epochs 0")
        save_checkpoint(trained.folder.models / f"{model}_finished", trained.network, trained.masks, trained.model_spec)
        folders.append(str(trained.folder.path))
    run = make_run(
        f"--eval --tradeoff --checkpoint_name {','.join(folders)} {flags} --tradeoff_budgets 0.5,0.000001 "
        "--tradeoff_repairs bias --tradeoff_batches 1 --tradeoff_images 2"
    )
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    rows = Tradeoff(run).evaluate()["tradeoff"]
    assert [row["asked"] for row in rows] == [None, None, 0.5]
    assert rows[0]["latency_ms"] == pytest.approx(2e-6 * run.flops.total)
    assert rows[2]["latency_ms"] / rows[0]["latency_ms"] == pytest.approx(0.5, rel=0.05)
    assert rows[2]["times_as_fast"] == pytest.approx(2, rel=0.05)
    assert rows[2]["weight_sparsity"] > 0 == rows[1]["weight_sparsity"]
    assert [notice for notice in run.notices if "cannot be reached: the nearest is latency=" in notice]
    assert all(torch.equal(before[name], tensor) for name, tensor in run.network.state_dict().items())
    with Image.open(run.folder.output / "tradeoff.png") as image:
        assert image.width > 500
