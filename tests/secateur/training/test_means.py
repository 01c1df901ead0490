import math
import os
from types import SimpleNamespace

import pytest
import torch

from secateur.training.means import RunningMeans, check_numbers
from secateur.utils.errors import UserError


def test_means_weigh_batches_by_their_size():
    means = RunningMeans()
    # one image, right; then three images, one right
    means.add(torch.tensor(4.0), torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    means.add(torch.tensor(2.0), torch.eye(2)[[0, 0, 0]], torch.tensor([0, 1, 1]))
    assert means.read() == pytest.approx({"loss": (4 + 3 * 2) / 4, "accuracy": 0.5})
    assert means.batches == 2
    means.reset()
    assert means.samples == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_batch_is_found(bad):
    means = RunningMeans()
    assert means.first_bad_batch() is None
    for loss in (1.0, 2.0, bad, bad):
        means.add(torch.tensor(loss), torch.zeros(1, 2), torch.tensor([0]))
    assert means.first_bad_batch() == 2


def test_means_go_on_from_their_state_and_not_from_one_that_does_not_add_up():
    means = RunningMeans()
    assert means.read() == {"loss": 0.0, "accuracy": 0.0}
    assert (means.batches, means.samples, means.first_bad_batch()) == (0, 0, None)
    again = RunningMeans()
    again.load_state_dict(means.state_dict())
    assert again.batches == 0
    means.add(torch.tensor(3.0), torch.tensor([[0.0, 1.0]] * 3), torch.tensor([1, 1, 0]))
    means.add(torch.tensor(1.0), torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    state = means.state_dict()
    again.load_state_dict(state)
    for one in (means, again):
        one.add(torch.tensor(2.0), torch.tensor([[1.0, 0.0]] * 2), torch.tensor([0, 0]))
    assert (again.batches, again.samples) == (3, 6)
    assert again.read() == means.read() == {"loss": pytest.approx(14 / 6), "accuracy": pytest.approx(4 / 6)}
    for changes in ({"losses": state["losses"][:1]}, {"correct": state["correct"][:3]}, {"sizes": [3, 2]}):
        with pytest.raises(ValueError, match="not as many"):
            RunningMeans().load_state_dict(state | changes)
    means.reset()
    assert (means.batches, means.samples) == (0, 0)


def failing(tmp_path, network, losses=()):
    means = RunningMeans()
    for loss in losses:
        means.add(torch.tensor(loss), torch.zeros(1, 2), torch.tensor([0]))
    folder = SimpleNamespace(models=tmp_path)
    return SimpleNamespace(
        means=means, epoch=1, network=network, learning_rate=0.25, run=SimpleNamespace(folder=folder)
    )


def test_numbers_that_are_none_are_named_by_epoch_and_batch_with_the_last_good_checkpoint(tmp_path):
    network = torch.nn.Linear(1, 1)
    check_numbers(failing(tmp_path, network, [1.0, 2.0]))
    with pytest.raises(UserError, match=r"NaN or infinite in epoch 2, batch 2: .*0.25.*; no epoch was finished before"):
        check_numbers(failing(tmp_path, network, [1.0, math.inf, math.nan]))
    for seconds, name in ((2, "a"), (3, "c"), (1, "b")):
        (tmp_path / f"{name}.json").write_text("")
        os.utime(tmp_path / f"{name}.json", (seconds, seconds))
    network.weight.data.fill_(math.nan)
    with pytest.raises(UserError, match=f"weights became NaN or infinite in epoch 2, by batch 1: .*{tmp_path}/c$"):
        check_numbers(failing(tmp_path, network, [1.0]))
