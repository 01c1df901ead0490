"""What hard concrete gates are made of, which parameters have one, and that they leave no trace behind."""

import math

import pytest
import torch
from torch import nn

from secateur.pruning.hard_concrete import HardConcreteGates, gated_layers, sampled_gates
from secateur.pruning.masks import Masks

CLOSED, OPEN = -4.6, 4.6


class Shared(nn.Module):
    """Two convolutions of one weight, one of which has no bias, a norm, a frozen layer and a linear one."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv1d(2, 2, 1), nn.Conv1d(2, 2, 1)
        self.bare = nn.Conv1d(2, 2, 1, bias=False)
        self.other.weight = self.bare.weight = self.one.weight
        self.norm, self.frozen, self.last = nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Linear(2, 3)
        self.frozen.requires_grad_(False)

    def forward(self, images):
        return self.last(self.frozen(self.norm(self.bare(self.other(self.one(images)))).mean(2)))


def gates_of(network, *names):
    return HardConcreteGates(network, Masks(network), names)


def test_log_alpha_is_drawn_layer_by_layer_one_number_an_input_or_a_channel():
    network = nn.Sequential(nn.Linear(5, 2), nn.Conv1d(3, 4, 1))
    torch.manual_seed(3)
    gates = gates_of(network, "1", "0")
    torch.manual_seed(3)
    for name, number in (("1", 4), ("0", 5)):
        torch.testing.assert_close(gates.log_alpha[name].detach(), 0.01 * torch.randn(number))


def test_noise_keeps_a_millionth_away_from_zero_and_one(monkeypatch):
    asked = []

    def uniform_(tensor, low, high):
        asked.append((tuple(tensor.shape), low, high))
        return tensor.fill_(0.5)

    monkeypatch.setattr(torch.Tensor, "uniform_", uniform_)
    # of one half nothing is added to log-alpha: sigmoid(1.5 * log-alpha) * 1.2 - 0.1
    drawn = sampled_gates(torch.tensor([0.0, 1.0]), (3, 4))
    assert asked == [((3, 4, 2), pytest.approx(1e-6, rel=1e-3), pytest.approx(1 - 1e-6, abs=1e-9))]
    assert asked[0][2] < 1
    torch.testing.assert_close(drawn, torch.tensor([0.5, 0.881089]).expand(3, 4, 2))


@pytest.mark.parametrize("shape", [(50, 2), (50, 3, 2), (50, 3, 4, 2)])
def test_each_sample_of_a_linear_layer_draws_its_own_gates_for_all_that_it_holds(shape):
    layer = nn.Linear(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    gates = gates_of(layer, "")
    gates.attach()
    drawn = layer(torch.ones(shape)).detach().view(50, -1, 2)
    assert (drawn == drawn[:, :1]).all()
    assert all(len(drawn[:, 0, number].unique()) > 20 for number in range(2))
    assert not torch.equal(drawn[..., 0], drawn[..., 1])
    single = layer(torch.ones(2))  # of no batch
    assert single.shape == (2,)


def test_every_parameter_is_gated_once_or_not_at_all():
    network = Shared()
    gates = gates_of(network, "one", "last")
    gates.masks.set({"last": torch.tensor([[True, False]] * 3)})
    gates.log_alpha["one"].data = torch.tensor([0.0, 1.0])
    gates.log_alpha["last"].data = torch.tensor([2.0, 3.0])
    found = list(gates.gated())
    assert [id(parameter) for parameter, _, _ in found] == [
        id(network.one.weight), id(network.one.bias), id(network.other.bias), id(network.last.weight),
    ]  # fmt: skip
    odds = [11 ** (2 / 3) * math.exp(log_alpha) for log_alpha in range(4)]
    open_ = [one / (1 + one) for one in odds]
    assert [tuple(probability.shape) for _, probability, _ in found] == [(2, 1, 1), (2,), (2,), (2,)]
    assert [probability.flatten().tolist() for _, probability, _ in found] == [
        pytest.approx(one, abs=1e-5) for one in (open_[:2], open_[:2], open_[:2], open_[2:])
    ]
    assert [kept for _, _, kept in found[:3]] == [1.0] * 3
    assert found[3][2].tolist() == [[True, False]] * 3
    others = [network.norm.weight, network.norm.bias, network.last.bias]
    assert [id(parameter) for parameter in gates.ungated()] == [id(parameter) for parameter in others]


def test_a_frozen_layer_and_one_that_does_not_run_have_no_gates():
    assert gated_layers(Shared(), torch.zeros(2, 2, 4), True) == ["one", "last"]
    assert gated_layers(Shared(), torch.zeros(2, 2, 4), False) == ["one", "last"]


@pytest.mark.parametrize("end", ["detach", "fold"])
def test_gates_act_on_all_layers_of_a_weight_until_they_are_let_go(end):
    network = Shared().eval()
    images = torch.randn(5, 2, 4)
    plain = network(images)
    gates = gates_of(network, "one", "last")
    assert not gates.attached
    gates.attach()
    assert gates.attached
    hooked = {name for name, module in network.named_modules() if module._forward_hooks or module._forward_pre_hooks}
    assert hooked == {"one", "other", "bare", "last"}
    for log_alpha in gates.log_alpha.values():
        log_alpha.data = torch.tensor([CLOSED, OPEN])
    gated = network(images)
    getattr(gates, end)()
    assert not gates.attached
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    torch.testing.assert_close(network(images), plain if end == "detach" else gated)
    assert not torch.allclose(plain, gated)
    gates.attach()
    gates.detach()
    gates.detach()
    assert not gates.attached


def test_gates_are_counted_layer_by_layer():
    gates = gates_of(nn.Sequential(nn.Linear(3, 2), nn.Conv1d(1, 2, 1)), "0", "1")
    gates.log_alpha["0"].data, gates.log_alpha["1"].data = torch.tensor([CLOSED, 0.0, OPEN]), torch.tensor([CLOSED] * 2)
    assert gates.gates_open() == {"0": 2, "1": 0}
    assert {name: mask.tolist() for name, mask in gates.pruned().items()} == {
        "0": [[False, True, True]] * 2, "1": [[[False]]] * 2,
    }  # fmt: skip
