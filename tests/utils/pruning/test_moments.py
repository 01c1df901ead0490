import pytest

from utils.errors import UserError
from utils.pruning.moments import Timing, before_training, during_training


def test_before_training_all_events_come_at_once_after_the_pre_epochs():
    assert before_training([0.5, 0.9], Timing(0, 80, 4, 4)) == {0: [0.5, 0.9]}
    assert before_training([0.9], Timing(3, 80, 0, 1)) == {3: [0.9]}


def test_during_training_one_event_comes_every_few_epochs():
    assert during_training([0.5, 0.7, 0.9], Timing(0, 80, 4, 2)) == {4: [0.5], 6: [0.7], 8: [0.9]}
    assert during_training([0.5, 0.9], Timing(10, 80, 1, 3)) == {11: [0.5], 14: [0.9]}


def test_too_few_epochs_are_refused_with_the_number_needed():
    assert during_training([0.5, 0.9], Timing(0, 5, 2, 2)) == {2: [0.5], 4: [0.9]}
    with pytest.raises(UserError, match=r"2 pruning events.*need at least --epochs 5; there are 4"):
        during_training([0.5, 0.9], Timing(0, 4, 2, 2))
