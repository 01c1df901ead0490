"""Criteria as a run builds them, on networks that the tests make."""

import pytest
import torch
from torch.nn import functional

from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Timeline


@pytest.fixture
def build(make_settings):
    """Build a criterion of all of a network's weights, from the flags of a command line."""

    def make(kind, network, flags="", loss=functional.cross_entropy):
        settings = make_settings(f"--prune_criterion {kind.__name__} {flags}")
        masks = Masks(network, hold=not settings["disable_masking"])
        criterion = kind(network, masks, loss, masks.weights, **settings.options_for(kind))
        criterion.seed, criterion.smoke = settings["seed"], settings["smoke"]
        return criterion

    return make


@pytest.fixture
def plan_of(build, make_settings):
    """Return a criterion's pruning steps by epoch, for the flags of a command line and 10 batches an epoch."""

    def make(kind, network, flags=""):
        criterion = build(kind, network, flags)
        settings = make_settings(f"--prune_criterion {kind.__name__} {flags}")
        timeline = Timeline(
            settings["pre_epochs"], settings["epochs"], criterion.prune_delay, criterion.prune_freq, batches=10
        )
        plan = criterion.plan(timeline)
        return {
            step / 10: [pytest.approx(sparsity) for sparsity in sparsities]
            for step, sparsities in plan.pruning_steps.items()
        }

    return make


@pytest.fixture
def traced(build):
    """Build a criterion of channels whose groups have been found."""

    def make(kind, network, inputs=(1, 2), flags="", loss=None):
        criterion = build(kind, network, flags, **({"loss": loss} if loss else {}))
        criterion.example, criterion.dense_outputs = torch.zeros(inputs), layer_outputs(network)
        criterion.trace()
        return criterion

    return make
