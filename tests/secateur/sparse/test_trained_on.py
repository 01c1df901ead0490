"""What is evaluated is the network as it is, however it was trained."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur


class Untraceable(nn.Sequential):
    """Decides by values."""

    def forward(self, images):
        features = super().forward(images)
        return features if features.sum() < 1e9 else -features


def layers(norms, last):
    """Two convolutions, of which the first is dense, and a sparse layer behind them."""
    norm = nn.BatchNorm2d if norms else lambda channels: nn.Identity()
    return nn.Conv2d(1, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 8, 3), norm(8), nn.ReLU(), nn.Flatten(), last


@pytest.mark.parametrize("kind", [nn.Sequential, Untraceable])
@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("held", [True, False])
def test_after_steps_of_a_fused_optimizer(kind, norms, held):
    network = kind(*layers(norms, nn.Linear(8 * 4 * 4, 5)))
    if held:
        options = {"ignore_layers": ["0"], "distribution": "uniform", "outer_layer_pruning": True}
        secateur.prune(network, "UnstructuredRandom", sparsity=0.9, example=torch.zeros(1, 1, 8, 8), **options)
    else:
        with torch.no_grad():
            for layer in (network[3], network[7]):
                layer.weight.mul_(torch.rand_like(layer.weight) < 0.1)
    images, targets = torch.randn(32, 1, 8, 8), torch.arange(32) % 5
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05, fused=True)  # whose changes torch does not count
    fast = secateur.accelerate(network, images, execution="sparse", training=True)
    for _ in range(2):
        fast.train()
        network.train()
        losses = [functional.cross_entropy(called(images), targets) for called in (fast, network)]
        torch.testing.assert_close(*losses)
        optimizer.zero_grad()
        losses[0].backward()
        optimizer.step()
        network.eval()
        with torch.no_grad():
            for number in (32, 2):
                torch.testing.assert_close(fast(images[:number]), network(images[:number]), rtol=1e-4, atol=1e-4)
    assert any(choice.layers for choice in fast.choices.values())
