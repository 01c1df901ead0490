import pytest
import torch
from torch import nn

from secateur.pruning.masks import Masks


def two_weights():
    network = nn.Linear(2, 1, bias=False)
    network.weight.data = torch.tensor([[3.0, -4.0]])
    return network


def test_pruned_weights_and_their_gradients_become_zero():
    network = two_weights()
    masks = Masks(network)
    masks.set({"": torch.tensor([[True, False]])})
    assert network.weight.tolist() == [[3.0, 0.0]]
    network.weight.grad = torch.tensor([[0.5, 0.5]])
    masks.apply_to_gradients()
    assert network.weight.grad.tolist() == [[0.5, 0.0]]
    network.weight.data += 1
    masks.apply_to_weights()
    assert network.weight.tolist() == [[4.0, 0.0]]


def test_masks_of_other_layers_hold_on():
    network = nn.Sequential(two_weights(), nn.Linear(1, 2, bias=False))
    masks = Masks(network)
    masks.set({"0": torch.tensor([[True, False]])})
    masks.set({"1": torch.tensor([[False], [True]])})
    assert {name: mask.flatten().tolist() for name, mask in masks.kept.items()} == {
        "0": [True, False],
        "1": [False, True],
    }
    with torch.no_grad():
        for layer in network:
            layer.weight.fill_(1.0)
    masks.apply_to_weights()
    assert [layer.weight.flatten().tolist() for layer in network] == [[1.0, 0.0], [0.0, 1.0]]


def test_without_holding_a_pruned_weight_may_come_back():
    network = two_weights()
    masks = Masks(network, hold=False)
    masks.set({"": torch.tensor([[True, False]])})
    assert network.weight.tolist() == [[3.0, 0.0]]
    network.weight.data += 1
    masks.apply_to_weights()
    assert network.weight.tolist() == [[4.0, 1.0]]
    assert masks.kept == {}


def test_a_mask_that_does_not_fit_is_refused_by_name():
    masks = Masks(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="the mask of 0"):
        masks.set({"0": torch.ones(2, 3, dtype=torch.bool)})
    with pytest.raises(ValueError, match="the mask of 0"):
        masks.set({"0": torch.ones(2, 2)})


def test_a_network_without_masks_is_left_alone():
    network = two_weights()
    masks = Masks(network)
    masks.apply_to_weights()
    masks.apply_to_gradients()
    assert network.weight.tolist() == [[3.0, -4.0]]


@pytest.mark.parametrize("piece", [1, 7, 20, 1000])
def test_large_layers_are_masked_piece_by_piece(monkeypatch, piece):
    monkeypatch.setattr("secateur.pruning.masks.PIECE", piece)
    network = nn.Sequential(nn.Linear(5, 6), nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last))
    weights = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    kept = {"0": torch.rand(6, 5) > 0.5, "1": torch.rand(3, 2, 3, 3) > 0.5}
    masks = Masks(network)
    masks.set(kept)
    for name, mask in kept.items():
        layer = network[int(name)]
        layer.weight.grad = torch.ones_like(layer.weight)
        assert torch.equal(layer.weight, weights[f"{name}.weight"] * mask)
        masks.apply_to_gradients()
        assert torch.equal(layer.weight.grad, mask.float())
        assert masks.factor(name) is mask  # booleans on a CPU, and no second copy as numbers
