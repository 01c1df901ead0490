"""Going back, and beginning anew: which weights and moments there are then; and states of the pruner that are none."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.pruning.plan import record_of

BATCHES = [(torch.rand(4, 3), torch.tensor([0, 1, 0, 1])) for _ in range(3)]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def train(model, optimizer, epochs=1):
    """Train by all batches; returns copies of the states of network and optimizer at the end."""
    for _ in range(epochs):
        for inputs, targets in BATCHES:

            def closure(inputs=inputs, targets=targets):
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), targets)
                loss.backward()
                return loss

            optimizer.step(closure)
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))


def begin(criterion="Magnitude", make=torch.optim.SGD, **options):
    """A pruner that rewinds to the end of the first epoch, once, at the end of the second; and its steps."""
    model, steps = network(), []
    optimizer = make(model.parameters(), lr=0.1, **({"momentum": 0.9} if make is torch.optim.SGD else {}))
    pruner = secateur.Pruner(
        model, criterion, sparsity=0.5, batches=BATCHES, optimizer=optimizer, epochs=4, timing="during",
        prune_delay=2, enable_rewinding=True, rewind_to=1, on_step=steps.append, **options,
    )  # fmt: skip
    return model, optimizer, pruner, steps


def test_weights_and_moments_go_back_to_the_epoch_that_was_asked_for_and_so_does_the_schedule():
    model, optimizer, pruner, _ = begin()
    schedule = []
    pruner.on_rewind = schedule.append
    assert pruner.snapshot is None
    weights, moments = train(model, optimizer)
    assert pruner.snapshot is not None
    train(model, optimizer)
    mask = pruner.masks.kept["2"]
    assert int(mask.sum()) == 8
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name] * mask if name == "2.weight" else weights[name])
    found = optimizer.state_dict()["state"]
    assert all(torch.equal(found[key]["momentum_buffer"], one["momentum_buffer"]) for key, one in moments.items())
    assert schedule == [3]


def test_prunable_weights_alone_go_back_where_that_is_asked():
    model, optimizer, pruner, _ = begin(rewind_weights_only=True)
    schedule = []
    pruner.on_rewind = schedule.append
    weights, _ = train(model, optimizer)
    train(model, optimizer)
    assert torch.equal(model[0].weight, weights["0.weight"])
    assert torch.equal(model[2].weight, weights["2.weight"] * pruner.masks.kept["2"])
    assert not torch.equal(model[0].bias, weights["0.bias"])
    assert schedule == []


def test_what_goes_back_follows_the_channels_that_were_removed():
    model, optimizer, _, steps = begin("L1Norm")
    weights, moments = train(model, optimizer)
    train(model, optimizer)
    kept = steps[0].kept_indices
    assert model[0].weight.shape == (2, 3)
    names = list(weights)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name].flatten()[kept[name]] if name in kept else weights[name])
    for key, one in optimizer.state_dict()["state"].items():
        before = moments[key]["momentum_buffer"]
        expected = before.flatten()[kept[names[key]]] if names[key] in kept else before
        assert torch.equal(one["momentum_buffer"], expected)


def test_channels_may_be_removed_without_an_optimizer_that_is_known():
    model = network()
    pruner = secateur.Pruner(
        model, "L1Norm", sparsity=0.5, batches=BATCHES, epochs=4, timing="during", prune_delay=2,
        enable_rewinding=True, rewind_to=1,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights, _ = train(model, optimizer)
    train(model, optimizer)
    assert model[4].weight.shape == (2, 2)
    assert torch.equal(model[4].bias, weights["4.bias"])
    assert pruner.steps[0].notices == []


def test_an_optimizer_of_one_state_starts_again_with_the_channels_and_that_is_told():
    model, optimizer, pruner, steps = begin("L1Norm", make=torch.optim.LBFGS)
    train(model, optimizer)
    assert pruner.snapshot.optimizer is not None
    train(model, optimizer)
    assert steps[0].notices == ["--optimizer LBFGS starts again whenever channels are removed"]
    assert pruner.snapshot.optimizer is None
    assert not optimizer.state_dict()["state"]


def normed(seed):
    model = network(seed)
    nn.utils.parametrizations.weight_norm(model[2])
    return model


@pytest.mark.parametrize(("criterion", "make"), [("Magnitude", network), ("L1Norm", network), ("L1Norm", normed)])
def test_drawn_anew_the_weights_are_those_of_the_next_seed_under_the_same_masks_and_channels(criterion, make):
    model = make(0)
    options = {"outer_layer_pruning": True, "reinitialise": True, "attach": False, "seed": 5}
    pruner = secateur.Pruner(model, criterion, sparsity=0.5, batches=BATCHES, fresh_network=make, **options)
    schedule, steps = [], []
    pruner.on_rewind, pruner.on_step = schedule.append, steps.append
    pruner.prune_as_planned()
    expected = make(6)
    if make is normed:
        nn.utils.parametrize.remove_parametrizations(expected[2], "weight")
    kept = steps[0].kept_indices
    for name, tensor in expected.state_dict().items():
        tensor = tensor.flatten()[kept[name]] if name in kept else tensor
        mask = pruner.masks.kept.get(name.removesuffix(".weight"))
        torch.testing.assert_close(model.state_dict()[name], tensor if mask is None else tensor * mask)
    assert bool(kept) == (criterion == "L1Norm")
    assert schedule == [0]


def test_a_snapshot_and_removed_channels_are_in_the_state_and_come_back_in_a_fresh_pruner():
    model, optimizer, pruner, _ = begin("L1Norm")
    train(model, optimizer, epochs=2)
    state = copy.deepcopy(pruner.state_dict())
    again, _, other, _ = begin("L1Norm")
    other.load_state_dict(state)
    assert [tuple(weight.shape) for weight in again.parameters()] == [tuple(one.shape) for one in model.parameters()]
    assert (other.step, other.steps_done, other.pruning_steps, other.removed) == (6, 1, {}, pruner.removed)
    assert all(torch.equal(other.snapshot.network[name], one) for name, one in pruner.snapshot.network.items())
    assert record_of(again).removed == pruner.removed
    fresh = begin()[2]
    assert fresh.state_dict()["snapshot"] is None
    fresh.load_state_dict(fresh.state_dict())
    assert fresh.snapshot is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pruning_steps": {6: [0.5, -0.1]}}, "step 6 prunes to [0.5, -0.1]"),
        ({"pruning_steps": {6: [1.1, 0.5]}}, "step 6 prunes to [1.1, 0.5]"),
        ({"pruning_steps": {6: []}}, "step 6 prunes to []"),
        ({"pruning_steps": {"6": [0.5]}}, "step 6 prunes to [0.5]"),
        ({"step": -1}, "step -1 of training and 0 pruning steps done"),
        ({"steps_done": -1}, "step 0 of training and -1 pruning steps done"),
        ({"masks": {"2": torch.ones(4, 3, dtype=torch.bool)}},
         "the mask of 2 is torch.bool (4, 3), not a boolean like the weight"),
        ({"masks": {"2": torch.ones(4, 4)}}, "the mask of 2 is torch.float32 (4, 4), not a boolean like the weight"),
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_is_refused(changed, message):
    pruner = begin()[2]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pruner.load_state_dict(pruner.state_dict() | changed)


def test_a_state_may_go_from_all_weights_to_none_and_has_its_masks():
    pruner, mask = begin()[2], torch.eye(4, dtype=torch.bool)
    changed = {"pruning_steps": {6: [0.0, 1.0]}, "masks": {"2": mask}, "collapsed": ["4"]}
    pruner.load_state_dict(pruner.state_dict() | changed)
    assert (pruner.pruning_steps, pruner.collapsed) == ({6: [0.0, 1.0]}, ["4"])
    assert pruner.masks.kept == {"2": mask}
    assert record_of(pruner.network).masked == ["2"]
