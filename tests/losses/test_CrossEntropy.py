import math

import pytest
import torch
from torch import nn

from secateur.losses.CrossEntropy import CrossEntropy
from secateur.pruning.masks import Masks

MASKS = Masks(nn.ModuleDict({"a": nn.Linear(2, 1), "b": nn.Linear(1, 1)}))
MASKS.weights["a"].data = torch.tensor([[1.0, -4.0]])
MASKS.weights["b"].data = torch.tensor([[0.0]])


def test_the_mean_over_samples_by_hand():
    loss = CrossEntropy(MASKS)
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    # -log 1/2 and -log 3/4
    assert float(loss(logits, torch.tensor([0, 1]))) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert loss.penalty() is None


def test_the_norm_terms_by_hand():
    def penalty(**options):
        return CrossEntropy(MASKS, **options).penalty().item()

    assert penalty(l1_reg=0.1) == pytest.approx(0.5)
    # sum of square roots: 1 + 2 + 0
    assert penalty(lp_reg=0.1) == pytest.approx(0.3, abs=1e-3)
    assert penalty(l1_reg=0.1, lp_reg=0.1, lp_power=2) == pytest.approx(0.5 + 0.1 * 17)


def test_a_weight_at_zero_has_gradient_zero_not_nan():
    penalty = CrossEntropy(MASKS, lp_reg=1).penalty()
    gradient = torch.autograd.grad(penalty, MASKS.weights["b"])[0]
    assert gradient.tolist() == [[0.0]]


def test_training_smooths_the_target_and_nothing_else_does():
    loss = CrossEntropy(MASKS, label_smoothing=0.2)
    logits, targets = torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])
    # 0.8 + 0.1 on the class, which has 3/4, and 0.1 on the other, which has 1/4
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    assert float(loss.in_training(None, logits, targets)) == pytest.approx(expected)
    assert float(loss(logits, targets)) == pytest.approx(-math.log(3 / 4))


def test_the_power_is_read_where_there_is_a_penalty_that_it_is_of():
    assert CrossEntropy(MASKS, l1_reg=1).idle_options() == {"lp_power": "without --lp_reg"}
    assert CrossEntropy(MASKS, lp_reg=1).idle_options() == {}


def test_without_smoothing_training_sees_the_plain_loss():
    loss = CrossEntropy(MASKS)
    logits, targets = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    assert float(loss.in_training(None, logits, targets)) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
