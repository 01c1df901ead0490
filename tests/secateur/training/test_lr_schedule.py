"""The learning rate at each step, worked out by hand, and what a schedule does not take."""

import pytest
import torch
from torch import nn

from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.lr_schedules.Constant import Constant
from secateur.lr_schedules.Cosine import Cosine
from secateur.lr_schedules.OneCycle import OneCycle
from secateur.lr_schedules.Steps import Steps
from secateur.training.lr_schedule import LearningRateSchedule, half_cosine
from secateur.training.optimizers import build_schedule
from secateur.utils.errors import UserError


def rates(text, epochs=4, batches=2, at=0):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(text, Registry(plugin_manager()[0]), optimizer, epochs * batches, batches, at)
    seen = []
    for _ in range(epochs * batches - at):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_constant_stays():
    assert rates("constant") == [1.0] * 8


def test_steps_multiply_at_their_epochs():
    assert rates("steps:1,3x0.1") == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_linear_rises_over_its_share_and_falls_to_zero():
    # 8 steps, the peak at step 2: up by thirds, then 6/6, 5/6, ... of the way that is left
    assert rates("linear:0.25") == pytest.approx([1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert rates("linear") == pytest.approx([1 - step / 8 for step in range(8)])
    for share in ("1", "1.5", "-0.1", "x"):
        with pytest.raises(UserError, match="SHARE"):
            rates(f"linear:{share}")


def test_cosine_falls_to_zero_by_half_a_wave():
    expected = [(1 + torch.cos(torch.tensor(torch.pi * step / 8)).item()) / 2 for step in range(8)]
    assert rates("cosine") == pytest.approx(expected)


def test_onecycle_rises_to_the_rate_and_falls():
    seen = rates("onecycle", epochs=10, batches=10)
    assert max(seen) == pytest.approx(1.0, rel=0.01)
    assert seen[0] < 0.1
    assert seen[-1] < 0.01


@pytest.mark.parametrize("text", ["constant", "cosine", "onecycle", "steps:1,3x0.1"])
def test_a_schedule_goes_on_from_any_step_as_if_it_had_never_stopped(text):
    assert rates(text, at=3) == rates(text)[3:]


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Constant("", 100, 10), {0: 1, 50: 1, 100: 1}),
        # (1 + cos(pi / 3)) / 2 = 3/4 after a third
        (Cosine("", 90, 10), {0: 1, 30: 0.75, 45: 0.5, 60: 0.25, 90: 0}),
        # half of the way up from 1/25 after 15 of 30 steps, and of the way down to 1/250,000 after 35 of 70
        (OneCycle("", 100, 10), {0: 0.04, 15: 0.52, 30: 1, 65: 0.500002, 100: 4e-6}),
        # the peak of a training of one step is its end
        (OneCycle("", 1, 1), {0: 0.04, 1: 1}),
        (Steps("2,5x.5", 100, 10), {0: 1, 19: 1, 20: 0.5, 49: 0.5, 50: 0.25, 100: 0.25}),
        (Steps("0x3", 100, 10), {0: 3}),
    ],
)
def test_factors_by_hand(schedule, factors):
    assert {step: schedule.factor(step) for step in factors} == pytest.approx(factors)


def test_half_a_cosine_ends_at_its_end():
    assert [half_cosine(2, 1, way) for way in (0, 0.5, 1, 1.5)] == pytest.approx([2, 1.5, 1, 1])


def test_a_run_without_steps_has_a_learning_rate_all_the_same():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    for name in ("constant", "cosine", "onecycle", "steps:1x0.1"):
        build_schedule(name, Registry(plugin_manager()[0]), optimizer, 0, 2)
        assert 0 < optimizer.param_groups[0]["lr"] <= 0.5


def test_a_second_schedule_starts_from_the_rate_that_was_given():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    optimizer.param_groups[0]["lr"] = 0.001
    build_schedule("cosine", Registry(plugin_manager()[0]), optimizer, 90, 10, at=30)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.75 * 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("constant:1", "--lr_schedule Constant takes no parameters, but was given '1'"),
        ("cosine:3x0.1", "--lr_schedule Cosine takes no parameters, but was given '3x0.1'"),
        ("one_cycle:0.3", "--lr_schedule OneCycle takes no parameters, but was given '0.3'"),
        *(
            (f"steps:{wrong}", f"--lr_schedule: 'steps:{wrong}' is not steps:EPOCH,EPOCHxFACTOR, as steps:60,120x0.1")
            for wrong in ("", "60", "60,120", "x0.1", "60x", "60,x0.1", "-1x0.1", "1.5x0.1", "60x-0.1", "60x0.1x2")
        ),
        ("steps", "--lr_schedule: 'steps:' is not steps:EPOCH,EPOCHxFACTOR, as steps:60,120x0.1"),
        ("cosin", "there is no learning-rate schedule 'cosin': did you mean Cosine"),
    ],
)
def test_what_a_schedule_does_not_take_is_refused_in_one_line(make_settings, text, message):
    with pytest.raises(UserError) as error:
        make_settings(f"--lr_schedule {text}")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["constant", "Cosine", "one-cycle", "ONECYCLE", "steps:60,120x0.1", "Steps:1x2"])
def test_schedules_are_named_as_all_components_are(make_settings, text):
    assert make_settings(f"--lr_schedule {text}")["lr_schedule"] == text


def test_a_schedule_of_one_s_own_writes_its_factor_alone():
    class Halved(LearningRateSchedule):
        def factor(self, step):
            return 0.5 ** (step / self.batches)

    assert Halved("", 4, 2).factor(4) == 0.25
    with pytest.raises(UserError, match="Halved takes no parameters"):
        Halved("2", 4, 2)
    with pytest.raises(NotImplementedError, match="LearningRateSchedule has no method factor"):
        LearningRateSchedule("", 4, 2).factor(0)
