import torch
from torch import nn

from secateur.pruning.layers import outer_layers, prunable_layers, prunable_weights


class OddlyDefined(nn.Module):
    """Defines its layers in another order than it uses them."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.ConvTranspose2d(2, 4, 3)
        self.stem = nn.Conv2d(1, 2, 3)

    def forward(self, images):
        return self.head(self.norm(self.body(self.stem(images))).mean((2, 3)))


def test_weights_of_linear_and_convolutions_are_prunable_and_nothing_else():
    assert list(prunable_layers(OddlyDefined())) == ["head", "body", "stem"]
    network = OddlyDefined()
    assert prunable_weights(network)["stem"] is network.stem.weight


def test_a_shared_weight_stands_there_once():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    assert list(prunable_weights(network)) == ["0"]


def test_the_outer_layers_are_the_first_and_last_that_are_reached():
    network = OddlyDefined().train()
    before = network.norm.running_mean.clone()
    assert outer_layers(network, torch.randn(1, 1, 8, 8)) == {"stem", "head"}
    assert network.training
    assert torch.equal(network.norm.running_mean, before)
    assert outer_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2)) == {"1"}
