import math

import pytest
import torch
from torch import nn

from secateur.losses.L0CrossEntropy import L0CrossEntropy
from secateur.pruning.hard_concrete import HardConcreteGates
from secateur.pruning.masks import Masks
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError

HALF = -2 / 3 * math.log(11)  # log-alpha where P(z > 0) = 1/2


@pytest.fixture
def network():
    """A gated convolution of weights 1, 2 and biases 3, 4; then a Linear layer without gates, of ones and no bias."""
    network = nn.Sequential(nn.Conv1d(1, 2, 1), nn.Linear(5, 1, bias=False))
    network[0].weight.data = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    network[0].bias.data = torch.tensor([3.0, 4.0])
    nn.init.ones_(network[1].weight)
    return network


def loss_of(network, l2_reg, **options):
    masks = Masks(network)
    loss = L0CrossEntropy(masks, **options)
    loss.l2_reg = l2_reg
    loss.gates, loss.images = HardConcreteGates(network, masks, ["0"]), 100
    loss.gates.log_alpha["0"].data = torch.full((2,), HALF)
    return loss


def test_the_penalty_by_hand(network):
    def penalty(**options):
        return loss_of(network, **options).penalty().item()

    # Four parameters, each with probability 1/2, at 6 / 100.
    assert penalty(l0_reg=6, l2_reg=0) == pytest.approx(4 * 0.5 * 0.06)
    # Half the squares 1 + 4 + 9 + 16, with probability 1/2; and of the five ones, with probability 1.
    assert penalty(l0_reg=0, l2_reg=0.2) == pytest.approx(0.1 * (0.5 * 30 + 5))
    assert penalty(l0_reg=6, l2_reg=0.2) == pytest.approx(0.12 + 2.0)
    # The norms of CrossEntropy are added: |1| + |2| + 5.
    assert penalty(l0_reg=6, l2_reg=0, l1_reg=0.5) == pytest.approx(0.12 + 4.0)


def test_nothing_decays_and_every_weight_costs_one_unless_that_is_said(network):
    loss = loss_of(network, 0.0)
    del loss.l2_reg, loss.images
    assert (loss.l2_reg, loss.images) == (0.0, 0)
    loss.images = 100
    assert loss.penalty().item() == pytest.approx(4 * 0.5 * 0.01)


def test_its_gradients_by_hand(network):
    loss = loss_of(network, l0_reg=6, l2_reg=0.2)
    loss.penalty().backward()
    # l2 * P * w
    assert network[0].weight.grad.flatten().tolist() == pytest.approx([0.1, 0.2])
    assert network[1].weight.grad.flatten().tolist() == pytest.approx([0.2] * 5)
    # P (1 - P) * (l2 / 2 * (w^2 + b^2) + 2 * l0 / N)
    wanted = [0.25 * (0.1 * squares + 2 * 0.06) for squares in (1 + 9, 4 + 16)]
    assert loss.gates.log_alpha["0"].grad.tolist() == pytest.approx(wanted)


def test_a_gate_pays_for_weights_that_are_pruned_no_more(network):
    loss = loss_of(network, l0_reg=6, l2_reg=0)
    loss.masks.set({"0": torch.tensor([True, False]).view(2, 1, 1)})
    assert loss.penalty().item() == pytest.approx(3 * 0.5 * 0.06)


def test_without_gates_it_says_what_is_missing(make_run):
    trainer = DefaultTrainer(make_run("--model LogisticRegression --loss L0CrossEntropy --epochs 1 --N 50"))
    with pytest.raises(UserError, match="needs gates, which --train_scheme L0Trainer has: train with --l0"):
        trainer.train()
