"""Criteria as a run builds them, on networks that the tests make."""

import pytest
from torch.nn import functional

from utils.pruning.masks import Masks
from utils.pruning.moments import Timing


@pytest.fixture
def build(make_arguments):
    """Build a criterion of all of a network's weights, from the flags of a command line."""

    def make(kind, network, flags="", loss=functional.cross_entropy):
        masks = Masks(network)
        arguments = make_arguments(f"--prune_criterion {kind.__name__} {flags}")
        return kind(network, masks, loss, masks.weights, arguments)

    return make


@pytest.fixture
def plan_of(build):
    """Return a criterion's events by epoch, for the flags of a command line and 10 batches an epoch."""

    def make(kind, network, flags=""):
        criterion = build(kind, network, flags)
        flags = criterion.arguments
        timing = Timing(flags.pre_epochs, flags.epochs, flags.prune_delay, flags.prune_freq, batches=10)
        plan = criterion.plan(timing)
        return {
            step / 10: [pytest.approx(sparsity) for sparsity in sparsities] for step, sparsities in plan.events.items()
        }

    return make
