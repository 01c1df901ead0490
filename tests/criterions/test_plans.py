"""When each criterion prunes to what, and the flags that change that."""

import pytest
from torch import nn

from secateur.config.option import options_of
from secateur.criterions.EmptyCrit import EmptyCrit
from secateur.criterions.FORCE import FORCE
from secateur.criterions.GradualMagnitude import GradualMagnitude
from secateur.criterions.GRASP import GRASP
from secateur.criterions.HoyerSquare import HoyerSquare
from secateur.criterions.IMP import IMP
from secateur.criterions.Magnitude import Magnitude
from secateur.criterions.MovementPruning import MovementPruning
from secateur.criterions.RigL import RigL
from secateur.criterions.SET import SET
from secateur.criterions.SNIP import SNIP
from secateur.criterions.SNIPit import SNIPit
from secateur.criterions.SNIPitDuring import SNIPitDuring
from secateur.criterions.SynFlow import SynFlow
from secateur.criterions.UnstructuredRandom import UnstructuredRandom
from secateur.pruning.masks import Masks
from secateur.utils.errors import UserError

LIMITS = [0.5, 0.74, 0.86, 0.92, 0.95, 0.965, 0.98]


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        (EmptyCrit, "", {}),
        (SNIP, "", {0: [0.98]}),
        (GRASP, "--pre_epochs 3", {3: [0.98]}),
        (Magnitude, "--pre_epochs 200", {200: [0.98]}),
        (SNIPit, "--pre_epochs 2", {2: LIMITS}),
        (SNIPitDuring, "--prune_delay 4 --prune_freq 4", {4 + 4 * step: [limit] for step, limit in enumerate(LIMITS)}),
        # The command of the SNIP-it repository: a round before each step
        (IMP, "--prune_delay 4 --prune_freq 4 --prune_schedule snip_it",
         {8 + 4 * step: [limit] for step, limit in enumerate(LIMITS)}),
        # A half of what is left goes in each of two rounds
        (IMP, "--prune_freq 10 --snip_steps 2 --pruning_limit 0.75", {10: [0.5], 20: [0.75]}),
        # 1 - (1 - i/4)^3 of 0.64 for i = 1..4
        (GradualMagnitude, "--snip_steps 4 --pruning_limit 0.64", {0: [0.37], 1: [0.56], 2: [0.63], 3: [0.64]}),
        (GradualMagnitude, "--epochs 4 --prune_freq 3 --pruning_limit 0.64", {0: [0.56], 3: [0.64]}),
        (MovementPruning, "--epochs 4 --prune_freq 3 --pruning_limit 0.64", {0: [0.56], 3: [0.64]}),
        # Any criterion takes another schedule and another timing
        (SNIP, "--prune_schedule linear --snip_steps 2 --prune_moment during", {0: [0.49], 1: [0.98]}),
        (GRASP, "--prune_moment after", {80: [0.98]}),
        (SNIP, "--experiment multishot --snip_steps 2 --pre_epochs 5 --pruning_limit 0.75", {5: [0.5], 10: [0.75]}),
        (SET, "--epochs 8 --prune_freq 2", {0: [0.98], 2: [0.98], 4: [0.98], 6: [0.98]}),
        (SET, "--epochs 8 --prune_delay 3 --pre_epochs 1", {1: [0.98], 5: [0.98], 6: [0.98], 7: [0.98]}),
        (RigL, "--epochs 8 --update_steps 25", {0: [0.98], 2.5: [0.98], 5: [0.98]}),
        (HoyerSquare, "--epochs 80", {70: [0.98]}),
        (HoyerSquare, "--epochs 80 --prune_delay 69", {69: [0.98]}),
    ],
)  # fmt: skip
def test_each_criterion_prunes_when_its_paper_says(plan_of, kind, flags, expected):
    limit = "" if "pruning_limit" in flags else "--pruning_limit 0.98"
    assert plan_of(kind, nn.Linear(20, 20), f"{limit} {flags}") == expected


def test_synflow_and_force_take_many_small_steps_unless_told(plan_of):
    (synflow,) = plan_of(SynFlow, nn.Linear(2, 2), "--compression 100").values()
    assert len(synflow) == 100
    assert synflow[49] == 0.9  # half of the way to 1/100 in the exponent
    assert len(plan_of(FORCE, nn.Linear(2, 2), "--compression 100")[0]) == 60
    assert plan_of(SynFlow, nn.Linear(2, 2), "--compression 100 --snip_steps 2") == {0: [0.9, 0.99]}


def test_pruning_steps_that_come_too_late_are_refused_with_the_epochs_they_need(plan_of):
    with pytest.raises(UserError, match="need at least --epochs 29"):
        plan_of(SNIPitDuring, nn.Linear(2, 2), "--pruning_limit 0.98 --prune_delay 4 --prune_freq 4 --epochs 28")
    with pytest.raises(UserError, match="--pre_epochs"):
        plan_of(SNIP, nn.Linear(2, 2), "--experiment multishot")


@pytest.mark.parametrize(
    ("flags", "limit"),
    [
        ("", 0.5),
        ("--pruning_rate 0.98", 0.98),
        ("--pruning_rate 0.98 --pruning_limit 0.7", 0.7),
        ("--pruning_rate 0.98 --compression 4", 0.75),
    ],
)
def test_random_pruning_reads_the_rate_as_limit_where_only_that_is_given(plan_of, flags, limit):
    assert plan_of(UnstructuredRandom, nn.Linear(2, 2), flags) == {0: [limit]}


@pytest.mark.parametrize(
    ("kind", "flags", "read"),
    [
        (SNIP, "", []),
        (SNIP, "--prune_moment during", ["prune_delay", "prune_freq"]),
        (SNIPit, "", ["snip_steps"]),
        (SNIPitDuring, "", ["snip_steps", "prune_delay", "prune_freq"]),
        (UnstructuredRandom, "", ["pruning_rate"]),
        (RigL, "", ["prune_delay", "prune_freq", "pruning_rate", "growing_rate"]),
    ],
)
def test_flags_that_a_criterion_does_not_read_are_known(build, kind, flags, read):
    known = ("snip_steps", "prune_delay", "prune_freq", "pruning_rate", "growing_rate")
    criterion = build(kind, nn.Linear(2, 2), flags)
    declared = {option.flag for option in options_of(kind).values()}
    assert [flag for flag in known if flag in declared - criterion.idle_options().keys()] == read


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pattern 2:4 --pruning_limit 0.5", "--pattern 2:4 says how much"),
        ("--pattern 2:4 --shuffle_masks", "--shuffle_masks would destroy"),
        ("--pattern 2:4 --distribution erdos_renyi", "leave out --distribution"),
        ("--pattern 4:2", "'4:2' is not unstructured or N:M"),
        ("--pattern 0:4", "'0:4' is not unstructured or N:M"),
        ("--pattern 2:1025", "'2:1025' is not unstructured or N:M"),
        ("--pattern 1:4:2", "'1:4:2' is not unstructured or N:M"),
        ("--experiment multishot --pre_epochs 1 --prune_moment during", "leave out --prune_moment"),
        ("--distribution best", "--distribution: 'best' is not one of global, uniform, erdos_renyi"),
    ],
)
def test_axes_that_contradict_each_other_are_refused(build, flags, message):
    with pytest.raises(UserError, match=message):
        build(SNIP, nn.Linear(4, 4), flags)


@pytest.mark.parametrize(
    ("kind", "flags", "message"),
    [
        (HoyerSquare, "--pattern 2:4", "leave out --pattern"),
        (HoyerSquare, "--distribution uniform", "leave out --distribution"),
        (RigL, "--pattern 2:4", "would not outlast the updates of RigL"),
        (SET, "--prune_schedule cubic", "SET starts at the limit and stays there"),
        (SET, "--prune_moment during", "SET starts at the limit and stays there"),
        (RigL, "--experiment multishot --pre_epochs 1", "RigL starts at the limit and stays there"),
    ],
)
def test_axes_that_a_method_would_not_keep_to_are_refused(build, kind, flags, message):
    with pytest.raises(UserError, match=message):
        build(kind, nn.Linear(4, 4), flags)


def test_what_regrows_weights_needs_to_hold_its_masks(build):
    with pytest.raises(UserError, match="FORCE regrows weights"):
        build(FORCE, nn.Linear(4, 4), "--disable_masking")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"schedule": "exponental"}, r"SNIP.schedule is 'exponental', which is not a schedule: did you mean expon"),
        ({"timing": lambda self: "before"}, r"SNIP.timing is <"),
    ],
)
def test_an_axis_that_does_not_exist_is_refused_naming_the_class(own, message):
    network = nn.Linear(4, 4)
    masks = Masks(network)
    kind = type("SNIP", (SNIP,), own)
    with pytest.raises(UserError, match=message):
        kind(network, masks, nn.functional.cross_entropy, masks.weights)


@pytest.mark.parametrize(
    ("flags", "timing"),
    [
        ("--prune_moment late", "late"),
        ("--prune_moment late --prune_delay 2", "during"),  # which says when
        ("--prune_moment after --prune_delay 2", "after"),
        ("--prune_delay 2", "before"),
    ],
)
def test_a_delay_says_when_late_is(build, flags, timing):
    assert build(Magnitude, nn.Sequential(nn.Linear(4, 3)), flags).timing == timing
