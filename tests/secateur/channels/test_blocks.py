"""Whole blocks go where they hand on what they read."""

import copy

import pytest
import torch
from torch import nn

import secateur
from secateur.models.ViT_tiny import Encoder
from secateur.utils.torchvision_import import torchvision
from tests.secateur.channels.networks import outputs, scattered

resnet = torchvision.models.resnet


def chain(*factors):
    """Blocks that add to what they read these times it."""
    return nn.Sequential(*[Adding(factor) for factor in factors], nn.Sequential(nn.Linear(2, 2)))


class Adding(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.data = factor * torch.eye(2)

    def forward(self, features):
        return features + self.layer(features)


def residual():
    return resnet.ResNet(resnet.BasicBlock, [2, 2, 1, 1], num_classes=3)


def transformer():
    return nn.Sequential(nn.Linear(5, 8), Encoder(8, 2), Encoder(8, 2), nn.LayerNorm(8), nn.Linear(8, 3))


def test_how_much_a_block_changes_what_it_reads():
    network = chain(0.5, 0.0, -2.0)
    assert secateur.residual_blocks(network, torch.tensor([[1.0, 2]])) == {"0": 0.5, "1": 0, "2": 2}
    secateur.remove_blocks(network, ["1", "2"], torch.rand(1, 2))
    assert [type(module) for module in network] == [Adding, nn.Identity, nn.Identity, nn.Sequential]
    network[3] = nn.Identity()
    assert network(torch.tensor([[1.0, 2]])).tolist() == [[1.5, 3]]


# The first blocks of the later stages of a ResNet have layers in their shortcuts.
@pytest.mark.parametrize(
    ("make", "shape", "blocks"),
    [
        (residual, (1, 3, 32, 32), ["layer1", "layer1.0", "layer1.1", "layer2.1"]),
        (transformer, (1, 4, 5), ["1", "2"]),
    ],
)
def test_a_network_without_blocks_computes_what_it_does_with_them_at_zero(make, shape, blocks, tmp_path):
    torch.manual_seed(0)
    network, image = scattered(make()), torch.rand(shape)
    assert list(secateur.residual_blocks(network, image)) == blocks
    zeros = copy.deepcopy(network)
    for parameter in zeros.get_submodule(blocks[-1]).parameters():
        parameter.data.zero_()
    secateur.prune(network, "L1Norm", sparsity=0.25, example=image)
    secateur.remove_blocks(network, blocks[-1], image)
    # Cut to fit: channels, and then the block.
    path = secateur.save(network, tmp_path / "short")
    fresh = secateur.load(path, make())
    assert outputs(fresh, image).equal(outputs(network, image))
    whole = scattered(make())
    whole.load_state_dict(zeros.state_dict())
    secateur.remove_blocks(whole, [blocks[-1]], image)
    assert torch.allclose(outputs(whole, image), outputs(zeros, image), atol=1e-6)
    network.train()(image.repeat(2, *[1] * (image.dim() - 1))).sum().backward()


def test_what_is_no_such_block_is_refused_in_one_line_and_nothing_is_changed():
    network, image = residual(), torch.rand(1, 3, 32, 32)
    before = set(network.state_dict())
    with pytest.raises(ValueError, match=r"the network does not run without layer1, layer1\.0"):
        secateur.remove_blocks(network, ["layer1", "layer1.0"], image)
    with pytest.raises(ValueError, match=r"'layer2.0' is no block that .* did you mean layer2.1, ") as caught:
        secateur.remove_blocks(network, ["layer1.0", "layer2.0"], image)
    assert "\n" not in str(caught.value)
    assert set(network.state_dict()) == before
