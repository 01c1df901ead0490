"""The criteria that differ from another in schedule or moment alone, and those without a score."""

import pytest
import torch
from torch import nn

from criterions.EmptyCrit import EmptyCrit
from criterions.SNIP import SNIP
from criterions.SNIPit import SNIPit
from criterions.SNIPitDuring import SNIPitDuring
from criterions.UnstructuredRandom import UnstructuredRandom
from utils.errors import UserError
from utils.pruning.masks import Masks

LIMITS = [0.5, 0.74, 0.86, 0.92, 0.95, 0.965, 0.98]


def build(kind, arguments, network=None):
    masks = Masks(network or nn.Linear(20, 20))
    return kind(network, masks, None, masks.weights, arguments)


def events(plan):
    return {epoch: [pytest.approx(sparsity) for sparsity in sparsities] for epoch, sparsities in plan.items()}


def test_snip_prunes_once_before_training(make_arguments):
    arguments = make_arguments("--prune_criterion SNIP --pruning_limit 0.98")
    assert build(SNIP, arguments).plan() == {0: [0.98]}


def test_snip_it_takes_all_its_steps_before_training(make_arguments):
    arguments = make_arguments("--prune_criterion SNIPit --pruning_limit 0.98 --pre_epochs 2")
    assert build(SNIPit, arguments).plan() == events({2: LIMITS})


def test_snip_it_during_takes_a_step_every_few_epochs(make_arguments):
    arguments = make_arguments("--prune_criterion SNIPitDuring --pruning_limit 0.98 --prune_delay 4 --prune_freq 4")
    expected = {4 + 4 * step: [limit] for step, limit in enumerate(LIMITS)}
    assert build(SNIPitDuring, arguments).plan() == events(expected)
    arguments.epochs = 28
    with pytest.raises(UserError, match="need at least --epochs 29"):
        build(SNIPitDuring, arguments).plan()


def test_the_empty_criterion_prunes_nothing_even_of_nothing(make_arguments):
    arguments = make_arguments("--pruning_limit 0.98")
    criterion = EmptyCrit(None, Masks(nn.Linear(2, 2)), None, [], arguments)
    assert criterion.plan() == {}


def test_random_pruning_follows_the_seed_and_hits_every_layer_alike(make_arguments):
    def mask(seed):
        network = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 100))
        criterion = build(UnstructuredRandom, make_arguments(f"--prune_criterion rand --seed {seed}"), network)
        criterion.prune(0.9, [])
        return criterion.masks.kept

    first, again, other = mask(1), mask(1), mask(2)
    assert torch.equal(first["0"], again["0"])
    assert not torch.equal(first["0"], other["0"])
    # 1,000 of 10,000 expected in each, with a standard deviation of 21
    assert 900 < int(first["0"].sum()) < 1100


@pytest.mark.parametrize(
    ("flags", "limit"),
    [
        ("", 0.5),
        ("--pruning_rate 0.98", 0.98),
        ("--pruning_rate 0.98 --pruning_limit 0.7", 0.7),
        ("--pruning_rate 0.98 --compression 4", 0.75),
    ],
)
def test_random_pruning_reads_the_rate_as_limit_where_only_that_is_given(make_arguments, flags, limit):
    criterion = build(UnstructuredRandom, make_arguments(f"--prune_criterion rand {flags}"))
    assert criterion.plan() == {0: [limit]}


def test_flags_that_a_criterion_does_not_read_are_known(make_arguments):
    flags = ("snip_steps", "prune_delay", "prune_freq", "pruning_rate")
    read = {kind.__name__: [flag for flag in flags if build(kind, make_arguments()).reads_flag(flag)]
            for kind in (SNIP, SNIPit, SNIPitDuring, UnstructuredRandom)}  # fmt: skip
    assert read == {
        "SNIP": [],
        "SNIPit": ["snip_steps"],
        "SNIPitDuring": ["snip_steps", "prune_delay", "prune_freq"],
        "UnstructuredRandom": ["pruning_rate"],
    }


def test_random_scores_have_nothing_to_do_with_the_initial_weights(make_arguments):
    torch.manual_seed(333)
    network = nn.Linear(100, 100)
    scores = build(UnstructuredRandom, make_arguments("--prune_criterion rand --seed 333"), network).scores([])
    correlation = torch.corrcoef(torch.stack([scores[""].flatten(), network.weight.detach().flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.05
