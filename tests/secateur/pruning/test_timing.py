import pytest

from secateur.pruning.plan import Timeline, after_training, before_training, during_training, in_rounds, multishot
from secateur.utils.errors import UserError


def steps(plan):
    """By epoch, of 10 batches each."""
    return {step / 10: sparsities for step, sparsities in plan.pruning_steps.items()}


def timeline(pre_epochs, epochs, prune_delay=0, prune_freq=1):
    return Timeline(pre_epochs, epochs, prune_delay, prune_freq, batches=10)


def test_before_training_all_steps_come_at_once_after_the_pre_epochs():
    assert steps(before_training([0.5, 0.9], timeline(0, 80, 4, 4))) == {0: [0.5, 0.9]}
    plan = before_training([0.9], timeline(3, 80))
    assert steps(plan) == {3: [0.9]}
    assert plan.epochs == 83


def test_during_training_one_step_comes_every_few_epochs():
    assert steps(during_training([0.5, 0.7, 0.9], timeline(0, 80, 4, 2))) == {4: [0.5], 6: [0.7], 8: [0.9]}
    assert steps(during_training([0.5, 0.9], timeline(10, 80, 1, 3))) == {11: [0.5], 14: [0.9]}


def test_in_rounds_each_step_comes_after_its_epochs():
    assert steps(in_rounds([0.5, 0.9], timeline(0, 80, 4, 4))) == {8: [0.5], 12: [0.9]}


def test_after_training_nothing_is_trained_any_more():
    assert steps(after_training([0.5, 0.9], timeline(2, 80))) == {82: [0.5, 0.9]}


def test_multishot_trains_before_each_step_and_once_more_after_the_last():
    plan = multishot([0.5, 0.75], timeline(5, 20))
    assert steps(plan) == {5: [0.5], 10: [0.75]}
    assert plan.epochs == 30


def test_too_few_epochs_are_refused_with_the_number_needed():
    assert steps(during_training([0.5, 0.9], timeline(0, 5, 2, 2))) == {2: [0.5], 4: [0.9]}
    with pytest.raises(UserError, match=r"2 pruning steps.*need at least --epochs 5; there are 4"):
        during_training([0.5, 0.9], timeline(0, 4, 2, 2))


def test_as_many_steps_as_fit_into_a_fraction_of_training():
    assert timeline(0, 8).steps_within(0.75) == 7  # at epochs 0 to 6
    assert timeline(3, 8, 2, 2).steps_within(0.75) == 3  # 2, 4 and 6 after the pre-epochs
    assert timeline(0, 1, 5).steps_within(0.75) == 1
