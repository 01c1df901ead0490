"""Batch norms folded into the layers before them."""

import pytest
import torch
from torch import nn

from secateur.sparse.folding import DenseLayer, Folded


def norm_of(affine=True):
    """A batch norm whose scales are 1/2 and 1/4 before its weight counts."""
    norm = nn.BatchNorm1d(2, eps=1, affine=affine).eval()
    norm.running_mean.copy_(torch.tensor([3.0, 5.0]))
    norm.running_var.copy_(torch.tensor([3.0, 15.0]))
    if affine:
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([2.0, 8.0]))
            norm.bias.copy_(torch.tensor([10.0, 20.0]))
    return norm


def layer_of(bias=True):
    layer = nn.Linear(1, 2, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0], [-4.0]]))
        if bias:
            layer.bias.copy_(torch.tensor([1.0, 2.0]))
    return layer


@pytest.mark.parametrize(
    ("bias", "affine", "weight", "shift"),
    [
        (True, True, [[2], [-8]], [8, 14]),
        (False, True, [[2], [-8]], [7, 10]),
        (True, False, [[1], [-1]], [-1, -0.75]),
        (False, False, [[1], [-1]], [-1.5, -1.25]),
    ],
)
def test_weight_and_bias_are_those_of_the_layer_and_its_norm(bias, affine, weight, shift):
    found = Folded(layer_of(bias), norm_of(affine)).tensors()
    for one, wanted in zip(found, (weight, shift), strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, torch.tensor(wanted).float())


@pytest.mark.parametrize("bias", [True, False])
def test_without_a_norm_they_are_the_layers_own(bias):
    layer = layer_of(bias)
    weight, shift = Folded(layer, None).tensors()
    assert weight.data_ptr() == layer.weight.data_ptr()
    assert not weight.requires_grad
    assert (shift is None) is not bias
    assert shift is None or (shift.data_ptr() == layer.bias.data_ptr() and not shift.requires_grad)


def test_they_are_folded_anew_where_anything_has_changed():
    layer, norm = layer_of(), norm_of()
    folded = Folded(layer, norm)
    found = folded.tensors()
    assert folded.tensors() is found
    for tensor in (*layer.parameters(), *norm.parameters(), *norm.buffers()):
        with torch.no_grad():
            tensor.add_(1)
        now = folded.tensors()
        assert now is not found
        assert folded.tensors() is now
        found = now
    layer.weight = nn.Parameter(layer.weight.detach() + 1)
    assert not torch.equal(folded.tensors()[0], found[0])
    found = folded.tensors()
    folded.forget()
    assert folded.tensors() is not found
    dense = DenseLayer(layer)
    found = dense.folded.tensors()
    dense.forget()
    assert dense.folded.tensors() is not found


def test_channels_are_last_in_memory_only_where_that_is_asked_for():
    layer = nn.Conv2d(3, 4, 2)
    plain, last = (Folded(layer, None, **options).tensors()[0] for options in ({}, {"weights_last": True}))
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    assert torch.equal(plain, last)
    dense = DenseLayer(layer)
    assert dense.folded.tensors()[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(Folded(layer_of(), None, weights_last=True).tensors()[0], layer_of().weight)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_a_dense_layer_computes_what_follows_too(relu, norms, kind):
    layer = nn.Linear(3, 2) if kind == "linear" else nn.Conv2d(3, 2, 2, padding=1)
    norm = (nn.BatchNorm1d if kind == "linear" else nn.BatchNorm2d)(2).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    images = torch.randn(5, 3) if kind == "linear" else torch.randn(5, 3, 4, 3)
    expected = norm(layer(images)) if norms else layer(images)
    expected = expected.relu() if relu else expected
    found = DenseLayer(layer, norm if norms else None, relu)(images)
    torch.testing.assert_close(found, expected.detach())
    assert DenseLayer(layer).relu is False
