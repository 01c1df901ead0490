"""Snapshots: what was copied stays as it was, and follows channels that are removed."""

import copy

import pytest
import torch
from torch import nn

from secateur.channels.coupling import KeptIndices
from secateur.training.rewinding import Snapshot


@pytest.fixture
def trained():
    """A network and its optimizer after a step, and what makes another one."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def step():
        optimizer.zero_grad()
        network(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()

    step()
    return network, optimizer, step


def state(network, optimizer):
    return copy.deepcopy((network.state_dict(), optimizer.state_dict()["state"]))


def assert_equal(one, other):
    assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())
    assert one[1].keys() == other[1].keys()
    for number, moments in one[1].items():
        assert all(torch.equal(moment, other[1][number][kind]) for kind, moment in moments.items())


def test_it_can_be_gone_back_to_again_and_again(trained):
    network, optimizer, step = trained
    snapshot, before = Snapshot(network, optimizer), state(network, optimizer)
    for _ in range(2):
        step()
        assert not torch.equal(network[0].weight, before[0]["0.weight"])
        snapshot.restore(network, optimizer)
        assert_equal(before, state(network, optimizer))
    snapshot.restore(network, None)  # of the network alone
    again = Snapshot.of_state(copy.deepcopy(snapshot.state_dict()))
    step()
    again.restore(network, optimizer)
    assert_equal(before, state(network, optimizer))


def test_without_an_optimizer_it_is_one_that_has_seen_nothing(trained):
    network, optimizer, step = trained
    snapshot = Snapshot(network)
    snapshot.restore(network, optimizer)
    assert optimizer.state_dict()["state"] == {}
    step()
    snapshot = Snapshot(network, optimizer)
    snapshot.forget_optimizer()
    snapshot.restore(network, optimizer)
    assert optimizer.state_dict()["state"] == {}


def test_weights_alone_go_back_and_nothing_else(trained):
    network, optimizer, step = trained
    snapshot, before = Snapshot(network), state(network, optimizer)
    step()
    after = state(network, optimizer)
    snapshot.restore_weights({"0": network[0].weight})
    assert torch.equal(network[0].weight, before[0]["0.weight"])
    assert torch.equal(network[0].bias, after[0]["0.bias"])
    assert torch.equal(network[2].weight, after[0]["2.weight"])
    alone = nn.Linear(2, 2)
    snapshot, weight = Snapshot(alone), alone.weight.detach().clone()
    nn.init.zeros_(alone.weight)
    snapshot.restore_weights({"": alone.weight})
    assert torch.equal(alone.weight, weight)


def test_weights_and_moments_of_removed_channels_go(trained):
    network, optimizer, _ = trained
    snapshot, (weights, moments) = Snapshot(network, optimizer), state(network, optimizer)
    names = [name for name, _ in network.named_parameters()]
    places = torch.tensor([[0, 1, 2], [6, 7, 8]])  # the first and the third row
    snapshot.keep_indices(KeptIndices({"0.weight": places, "1.running_mean": torch.tensor([0, 2])}), names)
    assert torch.equal(snapshot.network["0.weight"], weights["0.weight"][[0, 2]])
    assert torch.equal(snapshot.network["1.running_mean"], weights["1.running_mean"][[0, 2]])
    assert torch.equal(snapshot.network["2.weight"], weights["2.weight"])
    left = snapshot.optimizer["state"]
    assert torch.equal(left[0]["momentum_buffer"], moments[0]["momentum_buffer"][[0, 2]])
    assert torch.equal(left[1]["momentum_buffer"], moments[1]["momentum_buffer"])
    snapshot.forget_optimizer()
    snapshot.keep_indices(KeptIndices({"0.weight": torch.tensor([[0, 1, 2]])}), names)
    assert snapshot.network["0.weight"].shape == (1, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.network.pop("0.bias"), r"^snapshot\.network lacks '0\.bias'$"),
        (lambda one: one.network.update(other=torch.ones(1)), r"^snapshot\.network has 'other'$"),
        (lambda one: one.network.update({"0.bias": torch.ones(9)}), r"^snapshot\.network\.0\.bias is a tensor \(9,\)"),
        (
            lambda one: one.optimizer["param_groups"][0].update(lr="x"),
            r"^snapshot\.optimizer\.param_groups\[0\]\.lr is",
        ),
        (lambda one: one.optimizer["param_groups"][0]["params"].reverse(), "has other parameters than the optimizer$"),
        (
            lambda one: one.optimizer["state"][0].update(exp_avg=torch.ones(9)),
            r"^snapshot\.optimizer\.state\.0\.exp_avg is a tensor \(9,\)",
        ),
    ],
)
def test_a_snapshot_of_another_network_or_optimizer_is_refused_by_name(change, message):
    network = nn.Sequential(nn.Linear(2, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    Snapshot(network).check(network, optimizer)
    state = Snapshot(network, optimizer).state_dict()
    Snapshot.of_state(state).check(network, optimizer)
    Snapshot.of_state(state).check(network, torch.optim.Adam(network.parameters()))  # which has made no step yet
    changed = Snapshot.of_state(state)
    change(changed)
    with pytest.raises(ValueError, match=message):
        changed.check(network, optimizer)
