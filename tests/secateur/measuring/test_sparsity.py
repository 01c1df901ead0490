"""What is left of a network, counted by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import secateur
from secateur.measuring.sparsity import measure_sparsity, shown_left, shown_share


def filled(layer, values):
    """Give a layer this weight; zeros in the bias must not matter."""
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(values, dtype=torch.float32).view(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def test_a_few_zeros_by_chance_leave_a_network_dense():
    # As ResNet18 starts on DIGITS with seed 333: four of its weights are drawn as 0.0.
    assert shown_left(69_289_964, 69_289_984, 4 / 11_163_200) == "69,289,984"
    assert shown_left(99_999, 100_000, 1e-5) == "100,000"
    assert shown_left(1_000, 69_289_984, 0.5) == "1,000 of 69,289,984"
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
    with torch.no_grad():
        network[1].weight[7, 3] = 0
    found = secateur.measure(network, torch.zeros(1, 1, 28, 28), batch_sizes=())
    # 784 * 300 + 300 + 300 * 10 + 10, and twice the 238,200 weights
    assert found.parameters_kept == 238_509
    assert "238,510\n" in str(found)
    assert "476,400\n" in str(found)
    assert " of " not in str(found)


def test_a_perceptron_by_hand():
    network = nn.Sequential(
        filled(nn.Linear(2, 3), [[1, 0], [0, 0], [0, -0.5]]),
        nn.BatchNorm1d(3),
        nn.ReLU(),
        filled(nn.Linear(3, 2), [[0, 0, 0], [0, 7, 0]]),
    )
    found = measure_sparsity(network)
    assert found.sizes == {"0": 6, "3": 6}
    assert found.nonzero == {"0": 2, "3": 1}
    assert found.densities == {"0": pytest.approx(1 / 3), "3": pytest.approx(1 / 6)}
    assert found.weight_sparsity == pytest.approx(9 / 12)
    # Of the hidden neurons the second is gone; the classes do not count.
    assert (found.nodes, found.nodes_alive) == (3, 2)
    assert found.node_sparsity == pytest.approx(1 / 3)
    # 12 weights, 3 + 2 biases, 3 + 3 of the norm; 9 weights are zero.
    assert found.parameters == 23
    assert found.parameters_kept == 14


def test_convolutions_by_hand():
    network = nn.Sequential(
        filled(nn.Conv2d(1, 2, 2), [[[[0, 0], [0, 0]]], [[[0, 0], [0, 3]]]]),
        filled(nn.Conv2d(2, 2, 1, bias=False), [[[[0]], [[4]]], [[[0]], [[0]]]]),
        nn.Flatten(),
        filled(nn.Linear(2, 1), [[1, 1]]),
    )
    found = measure_sparsity(network)
    assert found.sizes == {"0": 8, "1": 4, "3": 2}
    assert found.nonzero == {"0": 1, "1": 1, "3": 2}
    assert (found.nodes, found.nodes_alive) == (4, 2)
    assert found.weight_sparsity == pytest.approx(10 / 14)


def test_transposed_convolutions_have_their_outputs_in_the_second_dimension():
    # Two inputs, three outputs: the first output takes nothing from either input.
    weight = [[[[0]], [[1]], [[0]]], [[[0]], [[2]], [[3]]]]
    network = nn.Sequential(filled(nn.ConvTranspose2d(2, 3, 1), weight), nn.Conv2d(3, 1, 1))
    found = measure_sparsity(network)
    assert found.nonzero["0"] == 3
    assert (found.nodes, found.nodes_alive) == (3, 2)


def test_transposed_convolutions_in_groups():
    # Four inputs and six outputs in two groups: outputs 0 to 2 see inputs 0 and 1, outputs 3 to 5 see inputs 2 and 3.
    weight = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]
    network = nn.Sequential(filled(nn.ConvTranspose2d(4, 6, 1, groups=2), weight), nn.Conv2d(6, 1, 1))
    found = measure_sparsity(network)
    # Of the outputs the first and the last are left.
    assert (found.nodes, found.nodes_alive) == (6, 2)


def test_depthwise_convolutions():
    network = nn.Sequential(filled(nn.Conv2d(3, 3, 1, groups=3, bias=False), [[0], [1], [2]]), nn.Conv2d(3, 1, 1))
    found = measure_sparsity(network)
    assert (found.nodes, found.nodes_alive) == (3, 2)
    assert found.parameters == 3 + 3 + 1


def test_a_dense_network_has_no_sparsity():
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    for layer in network:
        nn.init.ones_(layer.weight)
    found = measure_sparsity(network)
    assert (found.weight_sparsity, found.node_sparsity) == (0, 0)
    assert found.parameters_kept == found.parameters == 37


def test_an_empty_network_is_gone_altogether():
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    for layer in network:
        nn.init.zeros_(layer.weight)
    found = measure_sparsity(network)
    assert (found.weight_sparsity, found.node_sparsity) == (1, 1)
    assert found.parameters_kept == 7


def test_one_layer_has_no_hidden_nodes():
    found = measure_sparsity(nn.Sequential(filled(nn.Linear(2, 2), [[0, 0], [1, 1]])))
    assert (found.nodes, found.nodes_alive, found.node_sparsity) == (0, 0, 0.0)
    assert found.weight_sparsity == 0.5


def test_nothing_to_prune_is_no_sparsity():
    found = measure_sparsity(nn.Sequential(nn.BatchNorm1d(3)))
    assert (found.weight_sparsity, found.node_sparsity, found.parameters) == (0, 0, 6)
    assert found.densities == {}


def test_a_shared_weight_counts_once():
    network = nn.Sequential(filled(nn.Linear(2, 2), [[0, 1], [1, 1]]), nn.Linear(2, 2), nn.Linear(2, 1))
    network[1].weight = network[0].weight
    found = measure_sparsity(network)
    assert found.sizes == {"0": 4, "2": 2}
    assert found.parameters == 4 + 2 + 2 + 2 + 1


def test_tiny_and_negative_weights_are_there_and_negative_zero_is_not():
    found = measure_sparsity(nn.Sequential(filled(nn.Linear(4, 1), [[1e-30, -1e-30, -0.0, 0.0]])))
    assert found.nonzero == {"0": 2}


@settings(deadline=None)
@given(
    first=st.lists(st.booleans(), min_size=12, max_size=12),
    second=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_mask_is_counted_exactly(first, second):
    network = nn.Sequential(filled(nn.Linear(3, 4), first), filled(nn.Linear(4, 2), second))
    found = measure_sparsity(network)
    assert found.nonzero == {"0": sum(first), "1": sum(second)}
    assert found.weight_sparsity == pytest.approx(1 - (sum(first) + sum(second)) / 20)
    alive = sum(any(first[row * 3 : row * 3 + 3]) for row in range(4))
    assert found.node_sparsity == pytest.approx(1 - alive / 4)
    assert found.parameters_kept == found.parameters - 20 + sum(first) + sum(second)


@pytest.mark.parametrize(
    ("share", "number", "per_cent"),
    [
        (0.5, "0.5", "50.00%"),
        (0.9375, "0.9375", "93.75%"),
        (0.99999, "0.99999", "99.999%"),
        (0.9999999, "0.9999999", "99.99999%"),
        (1 - 2**-53, "0.9999999999999999", "99.99999999999999%"),
        (1.0, "1", "100.00%"),
        (0, "0", "0.00%"),
    ],
)
def test_a_share_below_one_is_never_shown_as_one(share, number, per_cent):
    assert shown_share(share) == number
    assert shown_share(share, "%") == per_cent
