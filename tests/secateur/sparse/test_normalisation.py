"""Batch norm of blocks while it trains is torch's own, with the addition and the ReLU that follow."""

import copy

import pytest
import torch
from torch import nn

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.operations import Norm


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)])
@pytest.mark.parametrize("number", [32, 21])
@pytest.mark.parametrize(("adds", "relu"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("options", [{}, {"affine": False, "momentum": None}])
def test_it_is_torchs_own(shape, number, adds, relu, options):
    norm = (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(shape[0], **options)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    exact = copy.deepcopy(norm).double()
    images, more = torch.randn(number, *shape) * 3 + 5, torch.randn(number, *shape)
    gradients = torch.randn(number, *shape)
    one, other = (tensor.clone().requires_grad_() for tensor in (images, more))
    found = Norm(norm, relu)(to_blocks(one), to_blocks(other) if adds else None, number=number)
    found = from_blocks(found, number)
    found.backward(gradients)
    exact_one, exact_other = (tensor.double().requires_grad_() for tensor in (images, more))
    expected = exact(exact_one) + (exact_other if adds else 0)
    expected = expected.relu() if relu else expected
    expected.backward(gradients.double())
    pairs = [(found, expected), (one.grad, exact_one.grad), *zip(norm.buffers(), exact.buffers(), strict=True)]
    pairs += [(other.grad, exact_other.grad)] if adds else []
    pairs += [(mine.grad, theirs.grad) for mine, theirs in zip(norm.parameters(), exact.parameters(), strict=True)]
    for mine, theirs in pairs:
        torch.testing.assert_close(mine.double(), theirs.double(), atol=2e-5, rtol=2e-5)
