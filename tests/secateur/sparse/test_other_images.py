"""Networks in which the images of a batch meet, or become more or fewer, compute what they do without `accelerate`."""

import pytest
import torch
from torch import nn

import secateur
from tests.secateur.sparse.networks import thinned


class Meeting(nn.Module):
    """Between two sparse layers `meet` changes which images there are."""

    def __init__(self, meet):
        super().__init__()
        self.first, self.last, self.meet = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), meet

    def forward(self, images):
        return self.last(self.meet(self.first(images)).relu()).mean((2, 3))


@pytest.mark.parametrize("images", [1, 3, 20])
@pytest.mark.parametrize(
    "meet",
    [
        lambda f: torch.cat([f, f.flip(3)]),
        lambda f: torch.cat([f, f], 0) * 2,
        lambda f: f.mean(0, keepdim=True),
        lambda f: f + f.mean(0, keepdim=True),
        lambda f: f[:1],
        lambda f: f.repeat(2, 1, 1, 1),
    ],
    ids=["twice", "joined", "mean", "less its mean", "first", "repeated"],
)
@pytest.mark.parametrize("training", [False, True])
def test_images_that_meet_on_the_way_are_computed_as_they_are_without(meet, images, training):
    torch.manual_seed(0)
    network = thinned(Meeting(meet), 0.1).train(training)
    example = torch.randn(images, 3, 6, 6)
    fast = secateur.accelerate(network, example, execution="sparse", training=training)
    for number in (images, 2, 17):
        inputs = torch.randn(number, 3, 6, 6)
        torch.testing.assert_close(fast(inputs), network(inputs), rtol=1e-4, atol=1e-5)
