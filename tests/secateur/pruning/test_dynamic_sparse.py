"""Updates of dynamic sparse training: when they come, and which weights they exchange."""

import pytest
import torch
from torch import nn

from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Timeline
from secateur.utils.errors import UserError


class Wanted(DynamicSparse):
    """Grows the weights of the largest numbers that it is handed for batches."""

    def growth_scores(self, batches):
        return {"": torch.tensor(batches)}


def wanting(weights=(), kind=Wanted, **options):
    """A layer of these weights, those that are zero pruned; without any one of ten, nothing of which is pruned yet."""
    layer = nn.Linear(len(weights) or 10, 1, bias=False)
    masks = Masks(layer)
    if weights:
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([weights]))
        masks.set({"": layer.weight != 0})
    return kind(layer, masks, None, [""], **options)


WEIGHTS = [-5.0, 1.0, 2.0, -3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "wanted", "kept"),
    [
        # a quarter of four is one: the smallest goes; the one that is wanted most, of those that are not kept, comes
        ({"pruning_rate": 0.25}, [9, 0, 9, 9, 1, 2, 3, 6, 5, 4], {0, 2, 3, 7}),
        ({"pruning_rate": 0.25}, [9, 9, 9, 9, -1, -2, -3, -6, -5, -4], {0, 1, 2, 3}),  # what was dropped is wanted
        ({"pruning_rate": 0.25}, [0, 0, 0, 0, -1, -2, -3, -6, -5, -4], {0, 1, 2, 3}),
        ({"pruning_rate": 0.6}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 3, 7, 8}),  # 2.4 are two
        ({"pruning_rate": 0.0}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 1, 2, 3}),
        ({"pruning_rate": 0.25, "growing_rate": 0.5}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 2, 3, 7, 8}),
        ({"pruning_rate": 0.25, "growing_rate": 0.0}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 2, 3}),
        ({"pruning_rate": 0.5, "growing_rate": 1.0}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 3, 6, 7, 8, 9}),
        ({}, [0, 0, 0, 0, 1, 2, 3, 6, 5, 4], {0, 2, 3, 7}),  # 0.3 of four are one
    ],
)
def test_an_update_drops_the_smallest_and_grows_what_is_wanted_most(options, wanted, kept):
    criterion = wanting(WEIGHTS, **options)
    assert criterion.started
    step = criterion.prune(0.5, [[float(number) for number in wanted]])
    assert set(step.masks[""][0].nonzero().flatten().tolist()) == kept
    assert criterion.updates == 1
    weights = criterion.weights[""][0].tolist()
    assert weights == [WEIGHTS[place] if place in kept else 0.0 for place in range(10)]
    criterion.prune(0.5, [[float(number) for number in wanted]])
    assert criterion.updates == 2


def test_where_there_is_no_room_for_all_that_could_grow_the_layer_is_full():
    criterion = wanting([5.0, 4.0, 3.0, 2.0, 0.0], pruning_rate=0.25, growing_rate=1.0)
    assert criterion.prune(0.5, [[1.0, 2.0, 3.0, 4.0, 5.0]]).kept == 5


def test_the_start_is_drawn_once_by_the_seed_and_is_no_update():
    def masks(seed):
        criterion = wanting()
        criterion.seed = seed
        assert not criterion.started
        step = criterion.prune(0.4, None)
        assert (criterion.updates, criterion.started, step.kept) == (0, True, 6)
        return step.masks[""].tolist()

    assert masks(1) == masks(1)
    assert masks(1) != masks(2)
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    criterion = Wanted(network, Masks(network), None, ["0", "1"])
    criterion.masks.set({"0": torch.ones(2, 2, dtype=torch.bool)})
    assert not criterion.started  # one layer alone
    assert criterion.distribution == "erdos_renyi_kernel"


@pytest.mark.parametrize(
    ("timeline", "steps"),
    [
        # the first mask at 6; three quarters of 8 epochs of 3 steps from there on is step 24
        (Timeline(2, 8, 1, 2, 3), [6, 15, 21]),
        (Timeline(2, 8, 1, 5, 3), [6, 24]),
        (Timeline(2, 8, 1, 6, 3), [6]),
        (Timeline(2, 8, 0, 1, 1), [2, 3, 4, 5, 6, 7, 8]),
        (Timeline(0, 1, 0, 1, 10), [0]),
    ],
)
def test_updates_come_until_three_quarters_of_training(timeline, steps):
    plan = wanting(pruning_limit=0.75).plan(timeline)
    assert list(plan.pruning_steps.items()) == [(step, [0.75]) for step in steps]
    assert plan.epochs == timeline.pre_epochs + timeline.epochs


def test_there_is_nothing_to_plan_without_weights():
    with pytest.raises(UserError, match="no weights can be pruned"):
        Wanted(nn.Linear(2, 2), Masks(nn.Linear(2, 2)), None, []).plan(Timeline(0, 8, 0, 1, 1))


def test_its_updates_are_read_when_the_flags_of_pruning_in_training_say():
    idle = wanting().idle_options()
    assert "snip_steps" in idle
    assert not {"prune_delay", "prune_freq"} & idle.keys()


STAYS = "Wanted starts at the limit and stays there: leave out --prune_schedule, --prune_moment, --experiment multishot"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "2:4"}, "--pattern 2:4 would not outlast the updates of Wanted: leave it out"),
        ({"schedule": "linear"}, STAYS),
        ({"timing": "after"}, STAYS),
        ({"experiment": "multishot"}, STAYS),
        ({"pattern": "2:4", "pruning_limit": 0.5}, "--pattern 2:4 says how much is pruned: leave out the limit"),
    ],
)
def test_what_would_not_outlast_the_updates_is_refused(options, message):
    with pytest.raises(UserError) as raised:
        wanting(**options)
    assert str(raised.value) == message


def test_options_of_other_axes_are_taken():
    assert wanting(prune_delay=2, pruning_limit=0.3).limit == 0.3


def test_a_method_says_what_it_grows():
    with pytest.raises(NotImplementedError, match=r"Silent has no method growth_scores\(batches\)"):
        wanting(WEIGHTS, kind=type("Silent", (DynamicSparse,), {})).prune(0.5, [])
