"""The blocks that networks are made of compute what their papers say."""

import pytest
import torch
from torch import nn

from secateur.models.blocks.cifar_residual import PaddedShortcut
from secateur.models.blocks.dense import DenseLayer, transition
from secateur.models.blocks.residual import BasicBlock, BottleneckBlock
from secateur.models.blocks.squeeze import Fire
from secateur.models.blocks.wide_residual import PreActivationBlock
from secateur.models.GoogLeNet import GoogLeNet, Inception
from secateur.models.ResNet20 import ResNet20
from tests.models.networks import build, parameters


def test_a_block_whose_second_norm_is_zero_passes_its_input_on():
    block = BasicBlock(4, 4, stride=1)
    nn.init.zeros_(block.bn2.weight)
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features.relu())


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 1), (4, 8, 2), (4, 4, 2)])
def test_a_block_projects_its_shortcut_only_where_the_shape_changes(inputs, outputs, stride):
    block = BasicBlock(inputs, outputs, stride)
    assert block(torch.zeros(2, inputs, 7, 7)).shape == (2, outputs, -(-7 // stride), -(-7 // stride))
    assert len(list(block.shortcut.parameters())) == (0 if (inputs, stride) == (outputs, 1) else 3)


def test_a_padded_shortcut_takes_every_second_pixel_and_appends_zeros():
    features = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert PaddedShortcut(2, extra=1)(features).tolist() == [
        [[[0, 2], [8, 10]], [[12, 14], [20, 22]], [[0, 0], [0, 0]]],
    ]


def test_shortcuts_of_resnets_for_cifar_have_no_parameters_unless_asked_for():
    # Projections of 16 * 32 and 32 * 64 weights, and norms of 2 * 32 and 2 * 64.
    assert parameters(ResNet20((3, 32, 32), 10, shortcut="project")) - parameters(ResNet20((3, 32, 32), 10)) == 2752


def test_a_bottleneck_whose_last_norm_is_zero_passes_its_input_on():
    block = BottleneckBlock(8, 2, stride=1)
    nn.init.zeros_(block.bn3.weight)
    features = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features.relu())
    assert [layer.stride for layer in BottleneckBlock(8, 4, stride=2).modules() if isinstance(layer, nn.Conv2d)] == [
        (1, 1),
        (2, 2),
        (1, 1),
        (2, 2),
    ]


def test_a_block_of_wide_networks_adds_to_its_input_as_it_is():
    block = PreActivationBlock(4, 4, stride=1)
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features)


def test_a_block_of_wide_networks_projects_the_activated_input():
    block = PreActivationBlock(2, 3, stride=2)
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = nn.functional.conv2d(block.bn1(features).relu(), block.shortcut.weight, stride=2)
    assert torch.allclose(block(features), expected)


def test_a_bypassed_fire_module_adds_its_input():
    plain, bypassed = Fire(8, 2, 4, bypass=False), Fire(8, 2, 4, bypass=True)
    bypassed.load_state_dict(plain.state_dict())
    features = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    assert bypassed(features).equal(plain(features) + features)
    assert (plain(features) >= 0).all()


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 96, 96)])
def test_every_second_fire_module_is_bypassed(shape):
    for name, bypassed in (("SqueezeNet_vanilla", [False] * 8), ("SqueezeNet_bypass", [False, True] * 4)):
        with torch.device("meta"):
            network = build(name, shape, 10)
        assert [module.bypass for module in network.modules() if isinstance(module, Fire)] == bypassed


def test_inception_has_the_channels_of_the_paper():
    with torch.device("meta"):
        modules = [module for module in GoogLeNet((3, 32, 32), 10).modules() if isinstance(module, Inception)]
    # The column "output size" of table 1.
    assert [module.outputs for module in modules] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    block = Inception(3, 1, 2, 3, 4, 5, 6)
    assert block(torch.zeros(2, 3, 1, 1)).shape == (2, 15, 1, 1)
    assert [layer.kernel_size[0] for layer in block.modules() if isinstance(layer, nn.Conv2d)] == [1, 1, 3, 1, 5, 1]


def test_a_dense_layer_hands_on_what_came_in():
    features = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(1))
    output = DenseLayer(6, growth=4)(features)
    assert output.shape == (2, 10, 5, 5)
    assert output[:, :6].equal(features)


@pytest.mark.parametrize(("size", "halved"), [(8, 4), (7, 4), (1, 1)])
def test_a_transition_halves_a_map_that_can_be_halved(size, halved):
    assert transition(6, 3)(torch.zeros(2, 6, size, size)).shape == (2, 3, halved, halved)
