import math

import pytest
import torch

from secateur.observers.pictures import _binned
from secateur.pruning.plan import PruningStep


def step(scores, kept):
    return PruningStep(0, 0.5, 4, 2, {"a": torch.tensor(scores)}, {"a": torch.tensor(kept)})


def test_positive_scores_are_drawn_over_their_logarithm():
    scores = _binned(step([0.01, 1.0, 0.0, math.inf], [False, True, False, True]), bins=2)
    assert scores.edges == [-2, -1, 0]
    assert (scores.pruned, scores.kept, scores.at_zero) == ([1, 0], [0, 1], 1)
    assert scores.scale == "log10 of the score"


def test_scores_of_both_signs_are_drawn_on_both_sides_of_zero():
    scores = _binned(step([-3.0, 1.0, 3.0, -math.inf], [False, True, True, False]), bins=2)
    assert scores.edges == pytest.approx([-math.log(2), 0, math.log(2)])  # ln(1 + 3 / 3)
    assert (scores.pruned, scores.kept) == ([1, 0], [0, 2])
    assert scores.scale.startswith("signed")


def test_scores_that_are_all_zero_have_no_picture():
    assert _binned(step([0.0, 0.0], [True, False])) is None
