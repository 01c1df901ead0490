"""Outputs and inputs of weights, whatever the order of a layer's axes, as the layer itself tells them."""

import pytest
import torch
from torch import nn

from secateur.pruning.layers import along_outputs, inputs_first, outputs_first

LAYERS = [
    nn.Linear(4, 6, bias=False),
    nn.Conv2d(4, 6, 1, bias=False),
    nn.Conv2d(4, 6, 1, groups=2, bias=False),
    nn.Conv2d(4, 4, 1, groups=4, bias=False),
    nn.ConvTranspose1d(4, 6, 1, bias=False),
    nn.ConvTranspose2d(4, 6, 1, bias=False),
    nn.ConvTranspose2d(4, 6, 1, groups=2, bias=False),
    nn.ConvTranspose2d(4, 4, 1, groups=4, bias=False),
]
each_layer = pytest.mark.parametrize(
    "layer", LAYERS, ids=lambda layer: f"{type(layer).__name__}-{getattr(layer, 'groups', 1)}"
)


@torch.no_grad()
def responses(layer):
    """What each output (O,) says to each single input (I,): a matrix (O, I)."""
    one_each = torch.eye(4).view(4, 4, *[1] * (layer.weight.dim() - 2))
    return layer(one_each).flatten(1).T


@each_layer
def test_rows_are_what_an_output_reads_and_what_reads_an_input(layer):
    matrix, groups = responses(layer), getattr(layer, "groups", 1)
    blocks = [block.chunk(groups, 1)[number] for number, block in enumerate(matrix.chunk(groups))]
    assert torch.equal(outputs_first(layer).flatten(1), torch.cat(blocks))
    assert torch.equal(inputs_first(layer).flatten(1), torch.cat([block.T for block in blocks]))


@each_layer
def test_either_order_leads_back_and_without_groups_is_a_view(layer):
    other = torch.rand_like(layer.weight)
    for order in (outputs_first, inputs_first):
        assert torch.equal(order(layer, order(layer, other)), other)
        if getattr(layer, "groups", 1) == 1:
            assert order(layer).data_ptr() == layer.weight.data_ptr()


@each_layer
def test_values_of_outputs_scale_what_the_layer_says(layer):
    expected = responses(layer)
    values = torch.arange(1.0, len(expected) + 1)
    scaled = torch.func.functional_call(
        layer, {"weight": layer.weight * along_outputs(layer, values)}, torch.ones(1, 4, *layer.weight.shape[2:])
    )
    assert torch.allclose(scaled.flatten(), expected.sum(1) * values)
