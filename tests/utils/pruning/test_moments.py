import pytest

from utils.errors import UserError
from utils.pruning.moments import Timing, after_training, before_training, during_training, in_rounds, multishot


def events(plan):
    """By epoch, of 10 batches each."""
    return {step / 10: sparsities for step, sparsities in plan.events.items()}


def timing(pre_epochs, epochs, prune_delay=0, prune_freq=1):
    return Timing(pre_epochs, epochs, prune_delay, prune_freq, batches=10)


def test_before_training_all_events_come_at_once_after_the_pre_epochs():
    assert events(before_training([0.5, 0.9], timing(0, 80, 4, 4))) == {0: [0.5, 0.9]}
    plan = before_training([0.9], timing(3, 80))
    assert events(plan) == {3: [0.9]}
    assert plan.epochs == 83


def test_during_training_one_event_comes_every_few_epochs():
    assert events(during_training([0.5, 0.7, 0.9], timing(0, 80, 4, 2))) == {4: [0.5], 6: [0.7], 8: [0.9]}
    assert events(during_training([0.5, 0.9], timing(10, 80, 1, 3))) == {11: [0.5], 14: [0.9]}


def test_in_rounds_each_event_comes_after_its_epochs():
    assert events(in_rounds([0.5, 0.9], timing(0, 80, 4, 4))) == {8: [0.5], 12: [0.9]}


def test_after_training_nothing_is_trained_any_more():
    assert events(after_training([0.5, 0.9], timing(2, 80))) == {82: [0.5, 0.9]}


def test_multishot_trains_before_each_event_and_once_more_after_the_last():
    plan = multishot([0.5, 0.75], timing(5, 20))
    assert events(plan) == {5: [0.5], 10: [0.75]}
    assert plan.epochs == 30


def test_too_few_epochs_are_refused_with_the_number_needed():
    assert events(during_training([0.5, 0.9], timing(0, 5, 2, 2))) == {2: [0.5], 4: [0.9]}
    with pytest.raises(UserError, match=r"2 pruning events.*need at least --epochs 5; there are 4"):
        during_training([0.5, 0.9], timing(0, 4, 2, 2))


def test_as_many_events_as_fit_into_a_share_of_training():
    assert timing(0, 8).events_within(0.75) == 7  # at epochs 0 to 6
    assert timing(3, 8, 2, 2).events_within(0.75) == 3  # 2, 4 and 6 after the pre-epochs
    assert timing(0, 1, 5).events_within(0.75) == 1
