"""Masks that hold by hooks: whose gradients and steps they see, and who finds or takes them over."""

import pytest
import torch
from torch import nn

from secateur.pruning import masks as module
from secateur.pruning.masks import Holding, Masks, held_masks, take_over, zeros_of


def layer(*weights):
    """A layer of one output, named by nothing, with these weights."""
    made = nn.Linear(len(weights), 1, bias=False)
    made.weight.data = torch.tensor([weights])
    return made


def masked(network, kept, **options):
    """The masks of a network and what holds them."""
    masks = Masks(network)
    masks.set({name: torch.tensor([mask]) for name, mask in kept.items()})
    return masks, Holding(masks, **options)


def gradient(network, inputs):
    network.zero_grad()
    network(torch.tensor([inputs])).sum().backward()
    return network.weight.grad.tolist()


def test_gradients_are_seen_dense_and_arrive_masked_but_for_pauses_which_may_be_nested():
    network, seen = layer(3.0, -4.0, 5.0), []
    _, holding = masked(
        network, {"": [True, False, True]}, on_gradient=lambda name, found: seen.append((name, found.tolist()))
    )
    assert gradient(network, [1.0, 2.0, 3.0]) == [[1, 0, 3]]
    assert seen == [("", [[1, 2, 3]])]
    with holding.paused():
        with holding.paused():
            assert gradient(network, [1.0, 2.0, 3.0]) == [[1, 2, 3]]
        assert gradient(network, [4.0, 5.0, 6.0]) == [[4, 5, 6]]
    assert len(seen) == 1
    assert gradient(network, [4.0, 5.0, 6.0]) == [[4, 0, 6]]
    holding.detach()
    assert gradient(network, [4.0, 5.0, 6.0]) == [[4, 5, 6]]
    assert len(seen) == 2


def test_a_layer_without_a_mask_has_its_gradient_as_it_is():
    network = nn.Sequential(layer(1.0, 2.0), nn.Linear(1, 2, bias=False))
    network[1].weight.data = torch.tensor([[3.0], [4.0]])
    masked(network, {"0": [False, True]})
    network(torch.tensor([[1.0, 1.0]])).sum().backward()
    assert network[0].weight.grad.tolist() == [[0, 7]]
    assert network[1].weight.grad.tolist() == [[2], [2]]


def test_steps_count_of_the_optimizer_that_is_known_or_of_any_that_has_one_of_the_weights():
    network, other = layer(1.0, 2.0), layer(1.0, 2.0)
    mine = torch.optim.SGD(network.parameters(), lr=1.0)
    twin = torch.optim.SGD(network.parameters(), lr=1.0)
    both = torch.optim.SGD([{"params": other.parameters()}, {"params": network.parameters()}], lr=1.0)
    theirs = torch.optim.SGD(other.parameters(), lr=1.0)
    _, known = masked(network, {}, optimizer=mine)
    _, unknown = masked(network, {})
    assert [known.is_of(one) for one in (mine, twin, both, theirs)] == [True, False, False, False]
    assert [unknown.is_of(one) for one in (mine, twin, both, theirs)] == [True, True, True, False]


def test_after_a_step_what_was_pruned_is_zero_before_anybody_is_told():
    network, seen = layer(1.0, 2.0), []
    _, holding = masked(network, {"": [False, True]}, on_step=lambda: seen.append(network.weight.tolist()))
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    with torch.no_grad():
        network.weight.fill_(5.0)  # as momentum might move it
    network.weight.grad = torch.tensor([[1.0, 1.0]])
    optimizer.step()
    assert seen == [[[0, 4]]]
    holding.detach()
    optimizer.step()
    assert network.weight.tolist() == [[-1, 3]]
    assert len(seen) == 1


def test_masks_are_taken_over_where_networks_share_a_layer():
    shared = layer(1.0, 2.0)
    before = nn.Sequential(shared, layer(3.0))
    held, holding = masked(before, {"0": [False, True], "1": [True]})
    after = nn.Sequential(shared, layer(5.0))
    apart = Masks(layer(7.0, 8.0))
    take_over(apart)
    assert apart.kept == {}
    assert held_masks(before) is held_masks(after) is held
    assert held_masks(layer(7.0, 8.0)) is None
    masks = Masks(after)
    masks.restore({"1": torch.tensor([[True]])})
    take_over(masks)
    assert {name: mask.tolist() for name, mask in masks.kept.items()} == {"1": [[True]], "0": [[False, True]]}
    assert held_masks(after) is None
    assert not holding.masks.weights["0"]._backward_hooks


def test_the_masks_of_zeros_are_of_the_layers_that_have_some():
    network = nn.Sequential(layer(3.0, 1.0, 0.0), layer(0.0), layer(2.0))
    found = zeros_of(network)
    assert {name: mask.tolist() for name, mask in found.kept.items()} == {"0": [[True, True, False]], "1": [[False]]}
    assert held_masks(network) is None


def test_masks_follow_layers_that_have_lost_channels_by_the_names_of_their_weights():
    network = nn.Sequential(layer(1.0, 2.0, 3.0), layer(4.0))
    masks, _ = masked(network, {"0": [True, False, True], "1": [True]})
    masks.keep_indices({"0.weight": torch.tensor([[1, 2]])})
    assert {name: mask.tolist() for name, mask in masks.kept.items()} == {"0": [[False, True]], "1": [[True]]}
    assert masks.factor("0").tolist() == [[False, True]]
    assert masks.factor("2") is None
    alone, _ = masked(layer(1.0, 2.0, 3.0), {"": [True, False, False]})
    alone.keep_indices({"weight": torch.tensor([[0, 1]])})
    assert alone.kept[""].tolist() == [[True, False]]


def test_another_network_of_the_kind_gets_the_zeros_in_its_own_type():
    masks, _ = masked(layer(1.0, 2.0), {"": [True, False]})
    other = layer(3.0, 4.0).double()
    masks.apply_to_state(other)
    assert other.weight.tolist() == [[3, 0]]


def test_factors_are_numbers_of_the_weights_type_but_on_a_cpu():
    network = nn.Linear(2, 3, device="meta", dtype=torch.bfloat16)
    masks = Masks(network)
    masks.restore({"": torch.empty(3, 2, dtype=torch.bool, device="meta")})
    assert masks.factor("").dtype == torch.bfloat16
    assert masks.kept[""].dtype == torch.bool


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((3, 2_097_152), [2, 1]),  # two rows are 4,194,304 numbers, and no more are turned into numbers at once
        ((2, 2_097_152), [2]),
        ((2, 8_388_608), [1, 1]),
        ((0, 5), [0]),
    ],
)
def test_about_four_million_booleans_are_turned_into_numbers_at_a_time(monkeypatch, shape, rows):
    seen = []
    monkeypatch.setattr(module.torch, "_foreach_mul_", lambda *lists: seen.extend(lists))
    tensor, factor = torch.empty(shape, device="meta"), torch.empty(shape, dtype=torch.bool, device="meta")
    module._multiply([(tensor, factor)])
    assert [[len(part) for part in parts] for parts in seen] == [rows, rows]
    seen.clear()
    module._multiply([(tensor, factor.float())])
    assert [[len(part) for part in parts] for parts in seen] == [[shape[0]]] * 2
