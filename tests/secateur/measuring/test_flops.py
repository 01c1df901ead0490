"""Operations, counted by hand."""

import pytest
import torch
from torch import nn

from secateur.measuring.flops import TRAINING_FACTOR, Flops, count_flops
from secateur.models.LeNet5 import LeNet5
from secateur.models.LeNet300 import LeNet300


def count(network, *shape):
    return count_flops(network, torch.zeros(1, *shape))


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        # A multiply-add is two; the bias is not counted.
        (nn.Linear(7, 5), (7,), 2 * 7 * 5),
        (nn.Linear(7, 5, bias=False), (7,), 2 * 7 * 5),
        (nn.Linear(7, 5), (3, 7), 2 * 3 * 7 * 5),
        # 6x8 outputs, each of 4 channels a sum of 3 * 3 * 3 products
        (nn.Conv2d(3, 4, 3), (3, 8, 10), 2 * 6 * 8 * 4 * 27),
        (nn.Conv2d(3, 4, 3, padding=1), (3, 8, 10), 2 * 8 * 10 * 4 * 27),
        (nn.Conv2d(3, 4, 3, stride=2, padding=1), (3, 8, 10), 2 * 4 * 5 * 4 * 27),
        (nn.Conv2d(3, 4, 3, dilation=2), (3, 8, 10), 2 * 4 * 6 * 4 * 27),
        # Groups and depthwise: each output sees its group alone.
        (nn.Conv2d(6, 4, 3, groups=2), (6, 5, 5), 2 * 3 * 3 * 4 * 3 * 9),
        (nn.Conv2d(6, 6, 3, groups=6), (6, 5, 5), 2 * 3 * 3 * 6 * 9),
        (nn.Conv1d(2, 3, 5), (2, 9), 2 * 5 * 3 * 2 * 5),
        (nn.Conv3d(1, 2, 2), (1, 3, 3, 3), 2 * 8 * 2 * 8),
        # Transposed: each input value is spread over 5 channels of 2x2.
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (3, 4, 4), 2 * 16 * 3 * 5 * 4),
    ],
)
def test_one_layer_by_hand(layer, shape, flops):
    network = nn.Sequential(layer)
    assert count(network, *shape) == Flops(flops, {"0": flops})


def test_a_network_that_is_one_layer():
    assert count(nn.Linear(7, 5), 7) == Flops(70, {"": 70})


def test_lenet300_by_hand():
    flops = count(LeNet300((1, 28, 28), 10), 1, 28, 28)
    assert flops.total == 2 * (784 * 300 + 300 * 100 + 100 * 10)
    assert flops.layers == {"features.1": 470_400, "features.3": 60_000, "classifier": 2_000}


def test_lenet5_by_hand():
    flops = count(LeNet5((1, 28, 28), 10), 1, 28, 28)
    assert flops.layers == {
        "features.0": 2 * 24 * 24 * 20 * 25,
        "features.3": 2 * 8 * 8 * 50 * 20 * 25,
        "features.7": 2 * 800 * 500,
        "classifier": 2 * 500 * 10,
    }
    assert flops.total == sum(flops.layers.values())


def test_norms_activations_and_pooling_are_left_out():
    network = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 1))
    assert count(network, 2, 4, 4) == Flops(16, {"5": 16})


def test_a_layer_used_twice_costs_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4))

        def forward(self, inputs):
            return self.inner(self.inner(inputs))

    assert count(Twice(), 4) == Flops(64, {"inner.0": 64})


def test_a_weight_that_two_layers_share_is_charged_for_both():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, inputs):
            return self.second(self.first(inputs))

    assert count(Tied(), 4) == Flops(64, {"first": 64})


def test_a_layer_that_is_not_reached_costs_nothing():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, inputs):
            return self.used(inputs)

    assert count(Spare(), 4) == Flops(16, {"used": 16, "spare": 0})


def test_attention_is_counted_with_its_projections_and_its_products():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, num_heads=2, batch_first=True)

        def forward(self, inputs):
            return self.attention(inputs, inputs, inputs, need_weights=False)[0]

    # For 5 tokens of width 8: queries, keys and values; the output; query times key and weights times value.
    projections, output, products = 2 * 5 * 8 * 24, 2 * 5 * 8 * 8, 2 * (2 * 5 * 5 * 8)
    assert count(Attention(), 5, 8) == Flops(projections + output + products, {"attention.out_proj": output})


def test_effective_by_hand():
    flops = Flops(1000, {"first": 400, "second": 500})
    # The remaining 100 belong to no prunable layer and stay.
    assert flops.effective({"first": 1.0, "second": 1.0}) == 1000
    assert flops.effective({"first": 0.25, "second": 0.5}) == 100 + 100 + 250
    assert flops.effective({"first": 0.0, "second": 0.0}) == 100
    assert flops.effective({"first": 1.0, "second": 0.1, "elsewhere": 0.3}) == 550


def test_counting_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(18, 2))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    for training in (True, False):
        network.train(training)
        state = torch.get_rng_state()
        count(network, 1, 5, 5)
        assert [module.training for module in network.modules()] == [training] * 6
        assert torch.equal(torch.get_rng_state(), state)
    assert all(tensor.equal(before[key]) for key, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("fast", [True, False])
def test_fused_attention_is_allowed_afterwards_as_it_was_before(fast):
    class Broken(nn.Module):
        def forward(self, inputs):
            seen.append(torch.backends.mha.get_fastpath_enabled())
            raise ValueError("broken")

    seen, before = [], torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(fast)
        count(nn.Linear(7, 5), 7)
        assert torch.backends.mha.get_fastpath_enabled() == fast
        with pytest.raises(ValueError, match="broken"):
            count(Broken(), 7)
        assert torch.backends.mha.get_fastpath_enabled() == fast
        assert seen == [False]
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_operations_are_run_with_all_their_settings():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2, dtype=torch.float64)

        def forward(self, inputs):
            return self.layer(inputs.sum(1, dtype=torch.float64))

    assert count(Wide(), 5, 3) == Flops(12, {"layer": 12})


def test_a_training_step_is_three_forward_passes():
    assert TRAINING_FACTOR == 3
