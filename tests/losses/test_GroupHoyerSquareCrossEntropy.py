import pytest
import torch
from torch import nn

from secateur.losses.GroupHoyerSquareCrossEntropy import GroupHoyerSquareCrossEntropy, group_hoyer_square
from secateur.pruning.masks import Masks


def test_the_term_by_hand_whatever_the_scale():
    weight = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    # columns 3 and 4, rows 5 and 0
    assert float(group_hoyer_square(weight)) == pytest.approx((7**2 + 5**2) / 25)
    for scale in (100, 0.001):
        assert float(group_hoyer_square(scale * weight)) == pytest.approx((7**2 + 5**2) / 25)
    assert float(group_hoyer_square(torch.ones(5, 2))) == pytest.approx(5 + 2)  # all alike: their numbers
    assert float(group_hoyer_square(torch.zeros(3, 2))) == 0.0


def test_a_kernel_counts_as_one():
    kernels = torch.zeros(2, 2, 1, 2)  # (O, I, kh, kw)
    kernels[0, 0, 0] = torch.tensor([3.0, 4.0])
    kernels[0, 1, 0, 0] = 12.0
    # columns 5 and 12, rows 13 and 0
    assert float(group_hoyer_square(kernels)) == pytest.approx((17**2 + 13**2) / 169)
    assert float(group_hoyer_square(kernels[:, :, 0])) == pytest.approx((17**2 + 13**2) / 169)  # of one dimension


def test_its_gradient_is_right_and_pulls_small_rows_down_and_large_ones_up():
    weight = torch.tensor([[3.0], [1.0]], requires_grad=True)
    group_hoyer_square(weight).backward()
    # The column's ratio is 1 always; the rows': d/dw_i of S^2 / Q is 2 S / Q - 2 S^2 w_i / Q^2, with S = 4 and Q = 10.
    assert weight.grad.flatten().tolist() == pytest.approx([0.8 - 0.96, 0.8 - 0.32])
    kernels = torch.randn(3, 2, 2, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(group_hoyer_square, kernels)


def test_a_channel_that_is_zero_has_no_gradient_and_breaks_none():
    weight = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    group_hoyer_square(weight).backward()
    assert weight.grad.isfinite().all()


def test_the_penalty_is_over_all_layers_until_channels_were_removed():
    network = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    network[0].weight.data = torch.tensor([[3.0, -4.0]])
    loss = GroupHoyerSquareCrossEntropy(Masks(network), hoyer_reg=0.5, l1_reg=1)
    norms = 7 + network[1].weight.abs().item()
    assert loss.penalty().item() == pytest.approx(0.5 * ((7**2 + 5**2) / 25 + 2) + norms)
    loss.has_pruned = True
    assert loss.penalty().item() == pytest.approx(norms)
    without = GroupHoyerSquareCrossEntropy(Masks(network), hoyer_reg=0)
    assert without.penalty() is None
