"""Lookahead: a weight worked by hand, and what was pruned. That runs go on with it is tested in tests/resuming."""

import pytest
import torch
from torch import nn

from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training.lookahead import Lookahead


def stepping(interval):
    """A weight of 0, an optimizer that adds 1 to it each step, and Lookahead over it."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)

    def step():
        weight.grad = -torch.ones(1)
        optimizer.step()
        return weight.item()

    return step, weight, Lookahead(optimizer, interval)


def test_slow_weights_follow_half_of_the_way():
    step, _, _ = stepping(3)
    # fast 1, 2, 3; slow 0 + (3 - 0) / 2 = 1.5, from where the fast ones go on
    assert [step() for _ in range(6)] == [1, 2, 1.5, 2.5, 3.5, 3]


def test_an_epoch_ends_with_the_slow_weights_and_twice_is_once():
    step, weight, lookahead = stepping(5)
    step()
    lookahead.meet()
    lookahead.meet()
    assert weight.item() == 0.5
    assert [step() for _ in range(5)] == [1.5, 2.5, 3.5, 4.5, 3]


def test_what_was_pruned_does_not_come_back():
    step, weight, lookahead = stepping(2)
    step()
    weight.data.zero_()
    lookahead.restart()
    assert [step(), step()] == [1, 1]  # from 0 to 2 and half of the way back, not from anywhere before


def test_masks_hold_and_an_epoch_ends_with_the_slow_weights(make_run):
    run = make_run(
        "--model LeNet300 --N 96 --batch_size 32 --epochs 2 --lookahead 2 --optimizer NESTEROV --learning_rate 0.05"
        " --prune_criterion GradualMagnitude --snip_steps 2 --pruning_limit 0.9 --outer_layer_pruning"
    )
    trainer = DefaultTrainer(run)
    met = []
    meet = trainer.slow.meet
    trainer.slow.meet = lambda: (met.append(trainer.slow.steps), meet())
    results = trainer.train()
    assert met == [2, 1] * 2  # three steps an epoch
    assert trainer.slow.slow is None
    assert results["weight_sparsity"] == pytest.approx(0.9, abs=1e-4)
    for name, weight in run.masks.weights.items():
        assert not weight[~run.masks.kept[name]].any()
