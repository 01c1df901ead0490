"""Weights that are computed from others, as weight_norm and spectral_norm do, and channels that go."""

import copy

import pytest
import torch
from torch import nn

import secateur

OLD = (nn.utils.weight_norm, nn.utils.spectral_norm)
NEW = (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [*OLD, *NEW], ids=["weight", "spectral", "weight again", "spectral again"])
def test_norms_of_weights_are_folded_before_channels_go(norm):
    torch.manual_seed(0)
    network = nn.Sequential(norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), norm(nn.Conv2d(8, 6, 3)), nn.ReLU(), nn.Flatten())
    network.append(norm(nn.Linear(24, 3)))
    network(torch.randn(2, 3, 6, 6))
    inputs = torch.randn(2, 3, 6, 6)
    expected = network.eval()(inputs).detach()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with pytest.raises(ValueError, match="as of 0: fold the norms before the optimizer is made"):
        secateur.Pruner(network, "L1Norm", sparsity=0.5, example=inputs[:1], optimizer=optimizer)
    kept = copy.deepcopy(inputs)
    result = secateur.prune(network, "L1Norm", sparsity=0.0, example=inputs[:1])
    assert torch.allclose(network(kept), expected, atol=1e-6)
    assert "folded into the weights of 0, 2, 5" in str(result)
    secateur.prune(network, "L1Norm", sparsity=0.5, example=inputs[:1])
    assert network[0].out_channels + network[2].out_channels == 7
    assert network(inputs).shape == (2, 3)
