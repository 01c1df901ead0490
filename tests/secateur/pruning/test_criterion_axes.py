"""What a criterion makes of its options: limit, schedule, timing, pattern, batches and idle flags."""

import pytest
import torch
from torch import nn

from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Timeline
from secateur.utils.errors import UserError


class Magnitude(Criterion):
    """Scores by size; nothing else is its own."""

    def scores(self, batches):
        return {name: weight.abs() for name, weight in self.weights.items()}


def magnitude(network=None, kind=Magnitude, hold=True, **options):
    masks = Masks(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)) if network is None else network, hold)
    return kind(network, masks, None, masks.weights, **options)


def test_what_a_class_says_nothing_of_is_as_most_criteria_have_it():
    criterion = magnitude()
    assert (criterion.seed, criterion.smoke, criterion.rewinds, criterion.execution) == (333, False, False, "dense")
    assert (criterion.has_limit, criterion.needs_dense_gradients, criterion.regrowth) == (True, False, None)
    assert (criterion.unit, criterion.meter, criterion.estimate, criterion.reference) == ("weights", None, None, None)
    assert (criterion.left_out, criterion.ignored, criterion.own_sparsities) == ({}, frozenset(), {})
    assert (criterion.repairs, criterion.budgets) == ([], [])


@pytest.mark.parametrize(
    ("options", "estimate", "limit"),
    [
        ({}, None, 0.5),
        ({"pruning_limit": 0.0}, None, 0.0),
        ({"compression": 4}, None, 0.75),
        ({"compression": 1}, None, 0.0),
        ({"compression": 4, "pruning_limit": 0.1}, None, 0.75),
        ({"pattern": "1:4"}, None, 0.75),
        ({"pattern": "3:5"}, None, 0.4),
        ({"target": ["params=0.5"]}, None, 0.9),
        ({"target": ["params=0.5"]}, 0.0, 0.0),
        ({"target": ["params=0.5"]}, 0.3, 0.3),
    ],
)
def test_the_limit_is_what_the_options_say_of_it(options, estimate, limit):
    criterion = magnitude(**options)
    criterion.estimate = estimate
    assert criterion.limit == pytest.approx(limit)
    assert [criterion.progress(share * limit) for share in (0.5, 1, 1.5)] == pytest.approx(
        [0.5, 1, 1] if limit else [1] * 3
    )


TIMELINE = Timeline(3, 20, 1, 2, 10)


@pytest.mark.parametrize(
    ("options", "timeline", "epochs", "steps"),
    [
        ({}, TIMELINE, 23, {30: [0.8]}),
        ({"schedule": "linear"}, TIMELINE, 23, {30: [0.2, 0.4, 0.6, 0.8]}),
        ({"schedule": "linear", "timing": "during"}, TIMELINE, 23, {40: [0.2], 60: [0.4], 80: [0.6], 100: [0.8]}),
        ({"schedule": "linear", "timing": "during"}, Timeline(3, 20, 1, 2, 10, at_once=True), 23,
         {30: [0.2, 0.4, 0.6, 0.8]}),
        ({"experiment": "multishot", "schedule": "linear"}, TIMELINE, 32,
         {30: [0.2], 60: [0.4], 90: [0.6], 120: [0.8]}),
        ({"experiment": "multishot", "snip_steps": 2}, TIMELINE, 26, {30: [1 - 0.2**0.5], 60: [0.8]}),
        ({"experiment": "multishot"}, Timeline(3, 20, 1, 2, 10, at_once=True), 23,
         {30: [1 - 0.2**0.25, 1 - 0.2**0.5, 1 - 0.2**0.75, 0.8]}),
        ({"timing": "late"}, TIMELINE, 23, {200: [0.8]}),
        ({"timing": "late", "prune_delay": 1}, TIMELINE, 23, {40: [0.8]}),
        ({"timing": "after", "prune_delay": 1}, TIMELINE, 23, {230: [0.8]}),
    ],
)  # fmt: skip
def test_the_plan_follows_schedule_and_timing(options, timeline, epochs, steps):
    plan = magnitude(**{"pruning_limit": 0.8, "snip_steps": 4} | options).plan(timeline)
    assert plan.epochs == epochs
    assert {step: pytest.approx(sparsities) for step, sparsities in steps.items()} == plan.pruning_steps


def test_of_a_smoke_run_the_last_two_steps_are_left():
    criterion = magnitude(schedule="linear", pruning_limit=0.8)
    criterion.smoke = True
    assert criterion.sparsities(TIMELINE) == pytest.approx([0.64, 0.8])
    assert criterion.number_of_steps(TIMELINE) == 5


def test_nothing_to_prune_is_told_with_the_flag_that_helps():
    with pytest.raises(UserError) as raised:
        Magnitude(nn.Linear(2, 2), Masks(nn.Linear(2, 2)), None, []).plan(TIMELINE)
    assert str(raised.value) == (
        "no weights can be pruned: the network has none between its first and its last layer; "
        "add --outer_layer_pruning to prune those two as well"
    )


@pytest.mark.parametrize(
    ("density", "pattern"),
    [(1.0, (4, 4)), (0.9, (4, 4)), (0.8, (3, 4)), (0.5, (2, 4)), (0.3, (2, 4)), (0.0, (2, 4))],
)
def test_on_the_way_to_a_pattern_more_of_each_group_stay_and_never_fewer(density, pattern):
    assert magnitude(pattern="2:4").pattern_at(density) == pattern


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        ({}, {"snip_steps", "prune_delay", "prune_freq"}),
        ({"schedule": "cubic"}, {"prune_delay", "prune_freq"}),
        ({"timing": "during"}, {"snip_steps"}),
        ({"timing": "rounds"}, {"snip_steps"}),
        ({"timing": "late"}, {"snip_steps", "prune_freq"}),
        ({"timing": "after"}, {"snip_steps", "prune_delay", "prune_freq"}),
    ],
)
def test_flags_without_effect_have_no_reason_but_that_nothing_reads_them(options, idle):
    wanted = dict.fromkeys(idle, "")
    if options != {"schedule": "cubic"}:
        wanted["repair_between"] = "without several pruning steps at once: see --prune_schedule"
    distilling = dict.fromkeys(("distill_steps", "distill_rate"), "without --repair distill")
    layers = {"repair_images": "without a --repair of layers"}
    assert magnitude(**options).idle_options() == wanted | distilling | layers
    assert magnitude(repair=["bn", "distill"], **options).idle_options() == wanted
    assert magnitude(repair=["distill"], **options).idle_options() == wanted | layers
    assert magnitude(repair=["bn"], **options).idle_options() == wanted | distilling
    assert magnitude(repair_between=["bias", "distill"], **options).idle_options() == wanted
    known = type("Threshold", (Magnitude,), {"has_limit": False})
    unlimited = dict.fromkeys(("pruning_limit", "compression"), "")
    assert magnitude(kind=known, **options).idle_options() == wanted | distilling | layers | unlimited


def test_scores_are_computed_on_the_first_batches_or_on_as_many_images_of_each_class():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(1, 3))
    batches = [(torch.arange(6.0).view(6, 1), torch.arange(6) % 3)] * 4
    criterion = magnitude(network)
    assert len(list(criterion.scoring_batches(batches * 2))) == 5
    assert list(magnitude(network, saliency_batches=2).scoring_batches(iter(batches))) == batches[:2]
    criterion = magnitude(network, saliency_batches=2, samples_per_class=3)
    criterion.example = torch.zeros(1, 1)
    found = criterion.scoring_batches(batches)
    assert [targets.bincount().tolist() for _, targets in found] == [[3, 3, 3]] * 2
    with pytest.raises(UserError, match="there are 2 of class 0"):
        criterion.scoring_batches(batches[:1])
    criterion.smoke = True
    assert [len(targets) for _, targets in criterion.scoring_batches(batches[:1])] == [6]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ({"schedule": "cubik"}, {}, "Own.schedule is 'cubik', which is not a schedule: did you mean cubic?"),
        ({"distribution": "unifrom"}, {},
         "Own.distribution is 'unifrom', which is not a distribution: did you mean uniform?"),
        ({"timing": ["after"]}, {}, "Own.timing is ['after'], which is not a timing: did you mean after?"),
        ({}, {"pattern": "2:4", "shuffle_masks": True},
         "--shuffle_masks would destroy the --pattern 2:4: give one of them"),
        ({"regrowth": "zero"}, {"hold": False},
         "Own regrows weights, which --disable_masking leaves no record of: give one of them"),
        ({}, {"experiment": "multishot", "timing": "after"},
         "--experiment multishot says when weights are pruned: leave out --prune_moment"),
        ({}, {"pattern": "2:4", "pruning_limit": 0.5}, "--pattern 2:4 says how much is pruned: leave out the limit"),
    ],
)  # fmt: skip
def test_axes_that_are_none_and_options_that_contradict_each_other_are_told(kind, options, message):
    with pytest.raises(UserError) as raised:
        magnitude(kind=type("Own", (Magnitude,), kind), **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ({}, {"pattern": "2:4"}), ({}, {"shuffle_masks": True}), ({}, {"hold": False}), ({"regrowth": "zero"}, {}),
        ({}, {"experiment": "multishot"}), ({}, {"timing": "after"}),
        ({}, {"experiment": "multishot", "prune_delay": 1}),
    ],
)  # fmt: skip
def test_each_of_them_alone_is_taken(kind, options):
    assert magnitude(kind=type("Own", (Magnitude,), kind), **options).timing == options.get("timing", "before")
