import math

import pytest
import torch
from torch import nn

from secateur.pruning.hard_concrete import (
    HardConcreteGates,
    deterministic_gates,
    gated_layers,
    probability_open,
    sampled_gates,
)
from secateur.pruning.masks import Masks


def gates_of(network, *names):
    return HardConcreteGates(network, Masks(network), names)


def set_gates(gates, seed=1):
    """Spread log-alpha so far that some gates are closed, some between and some fully open."""
    generator = torch.Generator().manual_seed(seed)
    for log_alpha in gates.log_alpha.values():
        log_alpha.data = torch.empty_like(log_alpha).uniform_(-4.6, 4.6, generator=generator)
        log_alpha.data[:3] = torch.tensor([-4.6, 0.0, 4.6])


def test_p_open_by_hand():
    # log-alpha 0: sigmoid(2/3 * log 11) = 11^(2/3) / (1 + 11^(2/3)); the gate is open half of the time at
    # log-alpha = -2/3 * log 11.
    power = 11 ** (2 / 3)
    shifted = torch.tensor([0.0, -2 / 3 * math.log(11)])
    assert probability_open(shifted).tolist() == pytest.approx([power / (1 + power), 0.5])
    assert power / (1 + power) == pytest.approx(0.83, abs=0.005)


def test_the_gradient_of_p_open_is_p_times_1_minus_p():
    log_alpha = torch.linspace(-4.6, 4.6, 11, requires_grad=True)
    probability = probability_open(log_alpha)
    probability.sum().backward()
    torch.testing.assert_close(log_alpha.grad, probability.detach() * (1 - probability.detach()))


def test_gates_are_open_as_often_as_p_says():
    log_alpha = torch.tensor([-4.0, -1.5, 0.0, 1.0, 4.0])
    drawn = sampled_gates(log_alpha, (200_000,))
    assert drawn.shape == (200_000, 5)
    assert drawn.min() == 0.0
    assert drawn.max() == 1.0
    torch.testing.assert_close((drawn > 0).float().mean(0), probability_open(log_alpha), atol=0.005, rtol=0)


def test_gates_of_test_time_by_hand():
    # sigmoid 1/2 -> 0.6 - 0.1; sigmoid 1/12 -> exactly where a gate closes; sigmoid 11/12 -> 1
    twelfth = math.log(11)
    log_alpha = torch.tensor([0.0, -twelfth - 0.01, twelfth + 0.01, math.log(3)])
    assert deterministic_gates(log_alpha).tolist() == pytest.approx([0.5, 0.0, 1.0, 0.8])


def test_the_gradient_through_a_drawn_gate_is_that_of_the_formula():
    log_alpha = torch.tensor([0.3, -0.7], requires_grad=True)
    torch.manual_seed(4)
    drawn = sampled_gates(log_alpha, (50,))
    drawn.sum().backward()
    # dz/dlog-alpha = 1.2 * s (1 - s) / beta where 0 < z < 1, else 0; s from z = 1.2 s - 0.1
    s = (drawn.detach() + 0.1) / 1.2
    inside = (drawn > 0) & (drawn < 1)
    torch.testing.assert_close(log_alpha.grad, (inside * 1.2 * s * (1 - s) * 1.5).sum(0), atol=1e-4, rtol=1e-4)


def test_gates_begin_at_the_logit_of_one_half():
    start = gates_of(nn.Sequential(nn.Linear(10_000, 1)), "0").log_alpha["0"].detach()
    assert start.dtype == torch.float32
    assert abs(float(start.mean())) < 1e-3
    assert float(start.std()) == pytest.approx(0.01, rel=0.05)


def test_clamp():
    gates = gates_of(nn.Sequential(nn.Linear(3, 1)), "0")
    gates.log_alpha["0"].data = torch.tensor([-9.0, 0.5, 9.0])
    gates.clamp()
    assert gates.log_alpha["0"].tolist() == pytest.approx([math.log(0.01), 0.5, math.log(100)])


class Twice(nn.Module):
    """A layer that is called twice, and a weight that two layers share."""

    def __init__(self):
        super().__init__()
        self.shared, self.twin = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.twin.weight = self.shared.weight
        nn.init.ones_(self.twin.bias)

    def forward(self, images):
        return self.twin(self.shared(torch.relu(self.shared(images))))


KINDS = {
    "linear": (nn.Linear(6, 4), (5, 6)),
    "linear_without_bias": (nn.Linear(6, 4, bias=False), (5, 6)),
    "linear_on_tokens": (nn.Linear(6, 4), (5, 7, 6)),
    "linear_on_one_sample": (nn.Linear(6, 4), (6,)),
    "conv": (nn.Conv2d(6, 4, 3), (5, 6, 7, 7)),
    "conv_of_one_image": (nn.Conv2d(6, 4, 3), (6, 7, 7)),
    "conv_without_bias": (nn.Conv2d(6, 4, 3, bias=False), (5, 6, 7, 7)),
    "conv_1d": (nn.Conv1d(6, 4, 3), (5, 6, 7)),
    "conv_3d": (nn.Conv3d(6, 4, 2), (5, 6, 3, 3, 3)),
    "grouped": (nn.Conv2d(6, 4, 3, groups=2), (5, 6, 7, 7)),
    "depthwise": (nn.Conv2d(6, 6, 3, groups=6), (5, 6, 7, 7)),
    "transposed": (nn.ConvTranspose2d(6, 4, 3), (5, 6, 7, 7)),
    "transposed_grouped": (nn.ConvTranspose2d(6, 8, 3, stride=2, groups=2), (5, 6, 7, 7)),
    "shared": (Twice(), (5, 6, 7, 7)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_folding_keeps_the_function(kind):
    layer, shape = KINDS[kind]
    network = nn.Sequential(layer)
    gates = gates_of(network, *Masks(network).weights)
    set_gates(gates)
    inputs = torch.randn(shape)
    plain = network(inputs)
    gates.attach()
    network.train()
    drawn = network(inputs)
    network.eval()
    gated = network(inputs)
    gates.fold()
    torch.testing.assert_close(network(inputs), gated, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, gated)
    assert not torch.allclose(drawn, gated)
    assert drawn.shape == gated.shape == plain.shape


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_closed_gates_are_zero_after_folding_and_no_others(kind):
    layer, _ = KINDS[kind]
    for parameter in layer.parameters():
        parameter.data = torch.rand_like(parameter) + 0.1
    network = nn.Sequential(layer)
    gates = gates_of(network, *Masks(network).weights)
    set_gates(gates, seed=2)
    masks = gates.pruned()
    gates.fold()
    (name, mask), (weight,) = *masks.items(), gates.masks.weights.values()
    assert (weight[~mask] == 0).all()
    assert (weight[mask] > 0).all()
    fraction = gates.gates_open()[name] / len(gates.log_alpha[name])
    assert float(mask.float().mean()) == pytest.approx(fraction)


def test_a_closed_channel_gives_zero_bias_included():
    conv = nn.Conv2d(1, 2, 1)
    nn.init.ones_(conv.bias)
    gates = gates_of(nn.Sequential(conv), "0")
    gates.log_alpha["0"].data = torch.tensor([-4.0, 4.0])
    gates.attach()
    output = conv.eval()(torch.ones(1, 1, 2, 2))
    assert (output[:, 0] == 0).all()
    assert (output[:, 1] == conv.weight[1].item() + 1).all()


def test_each_sample_draws_its_own_gates_and_all_places_of_it_share_them():
    conv = nn.Conv2d(1, 3, 1)
    nn.init.ones_(conv.weight)
    nn.init.zeros_(conv.bias)
    gates = gates_of(nn.Sequential(conv), "0")
    gates.attach()
    output = conv(torch.ones(64, 1, 4, 4))
    assert (output == output[:, :, :1, :1]).all()
    assert len(output[:, 0, 0, 0].unique()) > 30
    linear = nn.Linear(3, 3, bias=False)
    linear.weight.data = torch.eye(3)
    gates = gates_of(nn.Sequential(linear), "0")
    gates.attach()
    output = linear(torch.ones(64, 5, 3))
    assert (output == output[:, :1]).all()
    assert len(output[:, 0, 0].unique()) > 30


def test_the_same_seed_draws_the_same_gates():
    def draw():
        torch.manual_seed(7)
        return sampled_gates(torch.zeros(4), (3,))

    assert torch.equal(draw(), draw())


def test_the_state_dict_has_no_trace_of_gates():
    network = nn.Sequential(nn.Linear(3, 2), nn.Conv1d(2, 2, 1))
    names = set(network.state_dict())
    gates = gates_of(network, "0", "1")
    gates.attach()
    assert set(network.state_dict()) == names == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert sum(parameter.numel() for parameter in network.parameters()) == 8 + 6


def test_gates_stay_in_float32_under_autocast():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    gates = gates_of(network, "0", "2")
    gates.attach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(torch.randn(4, 1, 2, 2))
    assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    for log_alpha in gates.log_alpha.values():
        assert log_alpha.grad.dtype == torch.float32
        assert log_alpha.grad.isfinite().all()


def test_expected_sparsity_by_hand():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    gates = gates_of(network, "1")
    gates.log_alpha["1"].data = torch.full((3,), -2 / 3 * math.log(11))  # P(z > 0) = 1/2
    assert gates.expected_sparsity() == pytest.approx(3 / 12)
    assert gates.gates_expected() == pytest.approx({"1": 1.5})
    # Of the column of two weights that is pruned, and of half of the other two columns, nothing is there.
    gates.masks.set({"1": torch.tensor([[False, True, True]] * 2)})
    assert gates.expected_sparsity() == pytest.approx((2 + 2) / 12)


def test_closed_gates_leave_earlier_masks_in_place():
    network = nn.Sequential(nn.Linear(3, 1))
    gates = gates_of(network, "0")
    gates.masks.set({"0": torch.tensor([[False, True, True]])})
    gates.log_alpha["0"].data = torch.tensor([4.0, -4.0, 4.0])
    assert gates.pruned()["0"].tolist() == [[False, False, True]]
    gates.log_alpha["0"].data = torch.full((3,), 4.0)
    assert gates.pruned() == {}


class Backwards(nn.Module):
    """Its layers are defined in another order than they run, and one never runs."""

    def __init__(self, first, last):
        super().__init__()
        self.last, self.first = last, first
        self.hidden, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, inputs):
        return self.last(self.frozen(self.hidden(self.first(inputs).flatten(1))).unflatten(1, (-1, 1)))


@pytest.mark.parametrize(
    ("outer", "convolutions", "linear"),
    [
        # A convolution has its gates where it ends, a Linear layer where it begins.
        (False, ["first", "hidden"], ["hidden", "last"]),
        (True, ["first", "hidden"], ["first", "hidden", "last"]),
    ],
)
def test_images_and_logits_have_no_gates(outer, convolutions, linear):
    example = torch.zeros(1, 2, 1)
    network = Backwards(nn.Conv1d(2, 4, 1), nn.Conv1d(4, 2, 1))
    assert gated_layers(network, example, outer) == convolutions
    network = Backwards(nn.Linear(1, 2), nn.Linear(1, 2))
    assert gated_layers(network, example, outer) == linear
