import pytest
import torch
from torch import nn

from secateur.training.averaging import MovingAverage


def test_after_one_step_the_average_is_the_parameter():
    parameter = nn.Parameter(torch.randn(100))
    average = MovingAverage([parameter], 0.999)
    average.update()
    before = parameter.detach().clone()
    average.write()
    torch.testing.assert_close(parameter.detach(), before)


def test_the_average_of_three_steps_by_hand():
    parameter = nn.Parameter(torch.zeros(1))
    average = MovingAverage([parameter], 0.5)
    for value in (8.0, 4.0, 2.0):
        parameter.data.fill_(value)
        average.update()
    average.write()
    # weights 1/8, 1/4, 1/2 of the steps, whose sum is 7/8
    assert parameter.item() == pytest.approx((1 + 1 + 1) / (7 / 8))


def test_without_decay_it_is_the_last_step_and_before_any_step_nothing():
    parameter = nn.Parameter(torch.tensor([3.0]))
    average = MovingAverage([parameter], 0.0)
    average.write()
    assert parameter.item() == 3.0
    average.update()
    parameter.data.fill_(0.1)
    average.update()
    average.write()
    assert torch.equal(parameter.data, torch.tensor([0.1]))
