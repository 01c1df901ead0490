import pytest
import torch
from torch import nn

from secateur.losses.HoyerSquareCrossEntropy import HoyerSquareCrossEntropy, hoyer_square
from secateur.pruning.masks import Masks


def test_the_ratio_by_hand_whatever_the_scale():
    weight = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert float(hoyer_square(weight)) == pytest.approx(49 / 25)
    for scale in (100, 0.001):
        assert float(hoyer_square(scale * weight)) == pytest.approx(49 / 25)
    assert float(hoyer_square(torch.ones(5, 2))) == pytest.approx(10)  # all alike: their number
    assert float(hoyer_square(torch.tensor([7.0]))) == pytest.approx(1)  # one is left
    assert float(hoyer_square(torch.zeros(3))) == 0.0


def test_its_gradient_pulls_small_weights_down_and_large_ones_up():
    weight = torch.tensor([3.0, 1.0], requires_grad=True)
    hoyer_square(weight).backward()
    # d/dw_i of S^2 / Q is 2 S / Q - 2 S^2 w_i / Q^2, with S = 4 and Q = 10
    assert weight.grad.tolist() == pytest.approx([0.8 - 0.96, 0.8 - 0.32])


def test_the_penalty_leaves_pruned_layers_alone():
    network = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    network[0].weight.data = torch.tensor([[3.0, -4.0]])
    masks = Masks(network)
    loss = HoyerSquareCrossEntropy(masks, hoyer_reg=0.5, l1_reg=1)
    norms = 7 + network[1].weight.abs().item()
    assert loss.penalty().item() == pytest.approx(0.5 * (49 / 25 + 1) + norms)
    masks.set({"0": torch.tensor([[True, True]])})
    assert loss.penalty().item() == pytest.approx(0.5 + norms)
    masks.set({"1": torch.tensor([[True]])})
    assert loss.penalty().item() == pytest.approx(norms)
