"""What a pruning step tells and keeps, the record of a network, and amounts that are said twice."""

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.surgery import KeptIndices
from secateur.pruning.plan import (
    PruningRecord,
    PruningStep,
    Timeline,
    during_training,
    exponential,
    late_in_training,
    record_of,
    remember,
)
from secateur.utils.errors import UserError

ONES = torch.ones(2)


def step(**others):
    return PruningStep(3, 0.5, 1200, 300, {"a": ONES}, {"a": ONES > 0}, **others)


def test_a_step_is_shown_by_its_figures_alone():
    full = step(
        regrown={"a": ONES > 0}, kept_indices=KeptIndices(a=ONES), removed=[("a", [0])], notices=["told"],
        collapsed=["b"],
    )  # fmt: skip
    assert repr(full) == (
        "PruningStep(epoch=3, sparsity=0.5, candidates=1200, kept=300, collapsed=['b'], seconds=0.0, unit='weights', "
        "repairs=[], weights=None)"
    )
    assert full.pruned == 0.75


def test_a_step_is_told_in_lines_with_the_weights_first_where_there_are_both():
    full = step(unit="units", notices=["first", "second"], repairs=["repaired"], collapsed=["a", "b"])
    full.weights = PruningStep(3, 0.5, 4_000_000, 1, {}, {})
    lines = [
        "weights             1 of    4,000,000 kept   sparsity 1.0000",
        "units             300 of        1,200 kept   sparsity 0.7500",
        "layers without any weight: a, b",
        "repaired",
        "first",
        "second",
    ]
    assert str(full) == "\n".join(lines)
    assert str(step()) == "weights           300 of        1,200 kept   sparsity 0.7500"


def test_what_is_kept_of_a_step_has_its_figures_and_no_tensor():
    full = step(
        regrown={"a": ONES > 0}, kept_indices=KeptIndices(a=ONES), removed=[("a", [0])], notices=["told"],
        collapsed=["b"], seconds=2.5, unit="units", weights=step(seconds=1.5),
    )  # fmt: skip
    small = full.without_tensors()
    for one in (small, small.weights):
        assert (one.scores, one.masks, one.regrown, dict(one.kept_indices)) == ({}, {}, {}, {})
        assert (one.epoch, one.sparsity, one.candidates, one.kept) == (3, 0.5, 1200, 300)
    assert (small.removed, small.notices, small.collapsed) == ([("a", [0])], ["told"], ["b"])
    assert (small.seconds, small.unit, small.weights.seconds, small.weights.unit) == (2.5, "units", 1.5, "weights")
    assert small.weights.weights is None
    assert (full.scores["a"] is ONES, len(full.weights.masks), len(full.kept_indices)) == (True, 1, 1)


def test_the_record_of_a_network_is_a_copy_and_in_no_state():
    network, removed = nn.Linear(2, 2), [[("a", [1])], []]
    assert record_of(network) is None
    remember(network, removed, {"b": ONES, "a": ONES}, torch.zeros(1, 3, 4, 5))
    removed[0].append(("c", [2]))
    assert record_of(network) == PruningRecord([[("a", [1])], []], ["b", "a"], (3, 4, 5))
    assert list(network.state_dict()) == ["weight", "bias"]


def test_late_is_seven_eighths_of_the_epochs_that_prune_rounded_down():
    plan = late_in_training([0.5, 0.9], Timeline(3, 20, 0, 1, batches=10))
    assert (plan.epochs, plan.pruning_steps) == (23, {200: [0.5, 0.9]})  # 3 + 17.5


def test_the_epochs_that_are_missing_are_counted_without_those_of_the_dense_network():
    with pytest.raises(UserError) as error:
        during_training([0.5, 0.7, 0.9], Timeline(4, 6, 2, 3, batches=10))
    assert str(error.value) == (
        "3 pruning steps, from --prune_delay 2 every 3 epochs, need at least --epochs 9; there are 6"
    )
    plan = during_training([0.5, 0.7, 0.9], Timeline(4, 9, 2, 3, batches=10))
    assert (plan.epochs, list(plan.pruning_steps)) == (13, [60, 90, 120])


def test_a_limit_that_is_next_to_nothing_is_reached_at_once():
    assert exponential(1e-17, 2) == [1e-17]  # 1 - sqrt(1 - 1e-17) is 0


def prune(kind, **options):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    return secateur.Pruner(network, kind, example=torch.zeros(1, 4), planned=False, **options)


TWICE = "says how much is pruned: leave out the limit"
NEED_EACH_OTHER = "--distribution sensitivity and --sensitivity PATH, the table that it uses, need each other"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Magnitude", {"pattern": "2:4", "sparsity": 0.5}, f"--pattern 2:4 {TWICE}"),
        ("Magnitude", {"target": ["params=0.5", "flops=0.4"], "compression": 2},
         f"--target params=0.5,flops=0.4 {TWICE}"),
        ("Magnitude", {"pattern": "2:4", "distribution": "global"},
         "--pattern 2:4 prunes all layers alike: leave out --distribution"),
        ("HoyerSquare", {"pattern": "2:4"},
         "HoyerSquare prunes all weights that are small, wherever they are: leave out --pattern"),
        ("HoyerSquare", {"distribution": "uniform"},
         "HoyerSquare prunes all weights that are small, wherever they are: leave out --distribution"),
        ("Magnitude", {"pattern": "2:4", "target": ["params=0.5"]},
         "--pattern 2:4 says how much of each layer is pruned: leave out --target"),
        ("HoyerSquare", {"target": ["params=0.5"]},
         "HoyerSquare says how much of each layer is pruned: leave out --target"),
        ("HoyerSquare", {"layer_sparsity": ["2=0.5"]},
         "HoyerSquare says how much of each layer is pruned: leave out --layer_sparsity"),
        ("Magnitude", {"distribution": "sensitivity"}, NEED_EACH_OTHER),
        ("Magnitude", {"sensitivity": "a_run"}, NEED_EACH_OTHER),
        ("Magnitude", {"repair": ["bn", "merge"]},
         "--repair merge is for channels that are removed, and Magnitude prunes weights: leave it out"),
        ("Magnitude", {"target": ["params=0.5"], "disable_masking": True},
         "--target is for weights that stay pruned, and --disable_masking lets go of them: give one"),
    ],
)  # fmt: skip
def test_amounts_that_contradict_each_other_are_refused_in_a_line(kind, options, message):
    with pytest.raises(UserError) as error:
        prune(kind, **options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Magnitude", {"pattern": "2:4", "distribution": "uniform"}),
        ("L1Norm", {"repair": ["merge"]}),
        ("Magnitude", {"repair": ["bn"]}),
        ("Magnitude", {"disable_masking": True, "sparsity": 0.5}),
        ("Magnitude", {"target": ["params=0.5"]}),
        ("Magnitude", {"layer_sparsity": ["2=0.5"], "sparsity": 0.5, "distribution": "uniform"}),
        ("HoyerSquare", {"sparsity": 0.5}),
    ],
)
def test_amounts_that_agree_are_taken(kind, options):
    assert type(prune(kind, **options).criterion).__name__ == kind
