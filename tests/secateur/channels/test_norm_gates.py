import pytest
import torch
from torch import nn

from secateur.channels.coupling import KeptIndices
from secateur.channels.norm_gates import NormGates


@pytest.fixture
def gated():
    """A convolution with its norm, a Linear layer with its norm, gates that are not 1; and an input."""
    network = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)
    )
    for norm in (network[1], network[5]):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data = torch.rand_like(tensor) + 0.5
    gates = NormGates(network.eval())
    for gate in gates.gates.values():
        gate.data = torch.randn_like(gate)
    return network, gates, torch.randn(2, 1, 3, 3)


def test_a_gate_multiplies_its_channel_behind_the_norm():
    norm = nn.BatchNorm2d(2).eval()
    gates = NormGates(norm)
    inputs = torch.randn(1, 2, 3, 3)
    expected = norm(inputs)
    gates.attach()
    torch.testing.assert_close(norm(inputs), expected)  # gates start from 1
    gates.gates[""].data = torch.tensor([2.0, -1.0])
    torch.testing.assert_close(norm(inputs), torch.stack([2 * expected[:, 0], -expected[:, 1]], 1))
    gates.detach()
    assert torch.equal(norm(inputs), expected)


def test_gates_are_no_part_of_the_network(gated):
    network, gates, _ = gated
    names = list(network.state_dict())
    gates.attach()
    assert list(network.state_dict()) == names
    assert [name for name, _ in network.named_parameters()] == [name for name in names if "running" not in name and
                                                               "tracked" not in name]  # fmt: skip


def test_folded_gates_give_the_same_function_in_both_modes(gated):
    network, gates, inputs = gated
    gates.attach()
    expected = network(inputs)
    trained = network.train()(inputs)
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = network(inputs)
    with gates.folded():
        assert not any(module._forward_hooks for module in network.modules())
        torch.testing.assert_close(network(inputs), expected)
        torch.testing.assert_close(network.train()(inputs), trained)
        network.eval().load_state_dict({name: before[name] for name in before if "running" in name}, strict=False)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) or "tracked" in name
    torch.testing.assert_close(network(inputs), expected)
    gates.fold()
    assert not gates.attached
    torch.testing.assert_close(network(inputs), expected)


def test_channels_removed_while_they_are_folded_are_removed_from_the_gates_and_from_what_comes_back(gated):
    network, gates, _ = gated
    norm = network[5]
    gate, weight = gates.gates["5"].tolist(), norm.weight.tolist()
    gates.attach()
    with gates.folded():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data = tensor.data[[0, 3]]
        kept = KeptIndices({"5.weight": torch.tensor([0, 3]), "5.bias": torch.tensor([0, 3])})
        kept.scales = {"5.weight": torch.tensor([0.5, 1, 1, 1])}
        gates.keep_indices(kept)
    assert gates.gates["5"].tolist() == [gate[0], gate[3]]
    assert norm.weight.tolist() == [0.5 * weight[0], weight[3]]
    assert len(gates.gates["1"]) == 3


def test_norms_without_a_scale_and_those_that_do_more_have_no_gates():
    class WithActivation(nn.BatchNorm2d):
        def forward(self, inputs):
            return super().forward(inputs).relu()

    network = nn.Sequential(nn.BatchNorm2d(2, affine=False), WithActivation(2), nn.LayerNorm(2), nn.BatchNorm3d(2))
    assert list(NormGates(network).gates) == ["3"]
