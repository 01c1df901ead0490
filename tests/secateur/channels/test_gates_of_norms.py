"""Gates of norms: their states, what they fold into, and what they follow."""

import contextlib

import pytest
import torch
from torch import nn

from secateur.channels.coupling import KeptIndices
from secateur.channels.norm_gates import NormGates


def norms():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(3))
    for norm, numbers in ((network[0], [2.0, 3.0]), (network[1], [4.0, 5.0, 6.0])):
        norm.weight.data, norm.bias.data = torch.tensor(numbers), -torch.tensor(numbers)
    gates = NormGates(network)
    gates.gates["0"].data, gates.gates["1"].data = torch.tensor([0.5, 10.0]), torch.tensor([1.0, -1.0, 0.0])
    return network, gates


def test_gates_are_ones_at_first_and_do_not_act():
    gates = NormGates(nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(3, affine=False), nn.BatchNorm2d(1)))
    assert {name: gate.tolist() for name, gate in gates.gates.items()} == {"0": [1.0, 1.0], "2": [1.0]}
    assert not gates.attached
    gates.attach()
    assert gates.attached
    gates.detach()
    assert not gates.attached


@pytest.mark.parametrize("attached", [True, False])
def test_gates_are_folded_for_good_into_weights_and_biases(attached):
    network, gates = norms()
    if attached:
        gates.attach()
    gates.fold()
    assert network[0].weight.tolist() == [1.0, 30.0]
    assert network[0].bias.tolist() == [-1.0, -30.0]
    assert network[1].weight.tolist() == [4.0, -5.0, 0.0]
    assert network[1].bias.tolist() == [-4.0, 5.0, 0.0]
    assert not gates.attached
    assert not network[0]._forward_hooks


def test_gates_that_do_not_act_are_not_folded_for_a_while():
    network, gates = norms()
    with gates.folded():
        assert network[0].weight.tolist() == [2.0, 3.0]
    assert not gates.attached
    assert network[0].weight.tolist() == [2.0, 3.0]


def test_gates_that_act_are_folded_for_a_while_even_if_that_ends_with_an_error():
    network, gates = norms()
    gates.attach()
    with contextlib.suppress(KeyError), gates.folded():
        assert network[0].weight.tolist() == [1.0, 30.0]
        assert not gates.attached
        raise KeyError
    assert gates.attached
    assert gates._own == {}  # in memory no longer
    assert (network[0].weight.tolist(), network[0].bias.tolist()) == ([2.0, 3.0], [-2.0, -3.0])
    assert (network[1].weight.tolist(), network[1].bias.tolist()) == ([4.0, 5.0, 6.0], [-4.0, -5.0, -6.0])


def test_a_gate_multiplies_what_has_any_number_of_dimensions_in_its_type():
    norm = nn.BatchNorm3d(2, eps=0).eval()
    gates = NormGates(norm)
    gates.gates[""].data = torch.tensor([2.0, 3.0], dtype=torch.float64)
    gates.attach()
    found = norm(torch.ones(1, 2, 1, 1, 2))
    assert (found.dtype, found.flatten(2).tolist()) == (torch.float32, [[[2.0, 2.0], [3.0, 3.0]]])


@pytest.mark.parametrize("attached", [True, False])
def test_a_state_brings_back_gates_and_whether_they_act(attached):
    network, gates = norms()
    if attached:
        gates.attach()
    state = gates.state_dict()
    assert state["attached"] == attached
    assert {name: gate.tolist() for name, gate in state["gates"].items()} == {"0": [0.5, 10.0], "1": [1.0, -1.0, 0.0]}
    other = NormGates(network)
    other.load_state_dict(state)
    assert other.attached == attached
    assert other.gates["0"].tolist() == [0.5, 10.0]
    fewer = {"gates": {"1": torch.tensor([7.0])}, "attached": True}
    other.load_state_dict(fewer)
    assert (other.gates["0"].tolist(), other.gates["1"].tolist(), other.attached) == ([0.5, 10.0], [7.0], True)
    hooks = sum(len(module._forward_hooks) for module in network)
    other.load_state_dict(fewer)
    assert sum(len(module._forward_hooks) for module in network) == hooks


def test_gates_follow_norms_that_lose_channels():
    network, gates = norms()
    gate = gates.gates["1"]
    gate.grad = torch.ones(3)
    kept = KeptIndices({"1.weight": torch.tensor([0, 2]), "0.bias": torch.tensor([1])})
    kept.scales = {"0.weight": torch.tensor([3.0, 1.0])}
    gates.keep_indices(kept)
    assert gates.gates["1"] is gate
    assert (gate.tolist(), gate.grad) == ([1.0, 0.0], None)
    assert gates.gates["0"].tolist() == [0.5, 10.0]
    assert network[0].weight.tolist() == [2.0, 3.0]


def test_weights_that_come_back_have_lost_what_the_network_has_lost():
    norm = nn.BatchNorm1d(3)
    norm.weight.data, norm.bias.data = torch.tensor([4.0, 5.0, 6.0]), torch.tensor([1.0, 2.0, 3.0])
    gates = NormGates(norm)
    gates.gates[""].data = torch.tensor([1.0, -1.0, 0.0])
    gates.attach()
    with gates.folded():
        for tensor in (norm.weight, norm.bias):
            tensor.data = tensor.data[[2, 1]]
        kept = KeptIndices({"weight": torch.tensor([2, 1])})
        kept.scales = {"weight": torch.tensor([1.0, 2.0, 0.5])}
        gates.keep_indices(kept)
    assert gates.gates[""].tolist() == [0.0, -1.0]
    assert (norm.weight.tolist(), norm.bias.tolist()) == ([3.0, 10.0], [1.5, 4.0])
    gates.keep_indices(KeptIndices({"weight": torch.tensor([1])}))
    assert gates.gates[""].tolist() == [-1.0]
    assert norm.weight.tolist() == [3.0, 10.0]
