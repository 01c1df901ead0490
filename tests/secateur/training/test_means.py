import pytest
import torch

from secateur.training.means import RunningMeans


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
