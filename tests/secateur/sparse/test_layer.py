"""One layer by its list: which layers can be run so, what is listed, and that it computes the same."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.layer import Lists, SparseLayer, is_executable, shape_of
from secateur.sparse.lists import Shape


class Conv(nn.Conv2d):
    """Who knows what it does."""


class Linear(nn.Linear):
    """The same."""


@pytest.mark.parametrize(
    ("layer", "can"),
    [
        (nn.Conv2d(1, 1, 1), True),
        (nn.Linear(1, 1), True),
        (nn.Conv2d(1, 1, 1, padding_mode="circular"), False),
        (nn.Conv2d(1, 1, 1).double(), False),
        (nn.Linear(1, 1).half(), False),
        (Conv(1, 1, 1), False),
        (Linear(1, 1), False),
        (nn.Conv1d(1, 1, 1), False),
        (nn.ReLU(), False),
    ],
)
def test_plain_layers_of_float32_can_be_executed(layer, can):
    assert is_executable(layer) is can


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 2), Shape((1, 1))),
        (nn.Conv2d(4, 6, (3, 5), (2, 1), (4, 3), (1, 2), 2), Shape((3, 5), (2, 1), (4, 3), (1, 2), 2)),
        (nn.Conv2d(1, 1, (3, 2), padding="valid"), Shape((3, 2), (1, 1), (0, 0))),
        (nn.Conv2d(1, 1, (3, 7), padding="same", dilation=(4, 1)), Shape((3, 7), (1, 1), (4, 3), (4, 1))),
        (nn.Conv2d(1, 1, (2, 3), padding="same", dilation=2), Shape((2, 3), (1, 1), (1, 2), (2, 2))),
    ],
)
def test_a_layer_is_a_convolution(layer, shape):
    assert shape_of(layer) == shape


def test_a_border_that_is_wider_on_one_side_is_refused():
    with pytest.raises(ValueError, match="padding='same' of an even kernel is not the same on both sides"):
        shape_of(nn.Conv2d(1, 1, (2, 3), padding="same"))


def lists_of(kept, size=8):
    """The lists of a linear layer of so many weights, of which the first ones are there."""
    layer = nn.Linear(size, 1)
    with torch.no_grad():
        layer.weight.zero_()[0, :kept] = 2
    lists = Lists(layer, lambda: None)
    lists.refresh()
    return layer, lists


@pytest.mark.parametrize(
    ("before", "after", "anew"), [(5, 3, False), (5, 2, True), (4, 2, False), (4, 1, True), (4, 5, True), (4, 4, False)]
)
def test_lists_are_made_anew_where_weights_come_or_more_than_half_are_gone(before, after, anew):
    layer, lists = lists_of(before)
    assert (lists.number, lists.kept.shape) == (before, (1, 8, 1, 1))
    walk = lists.walk("forward", (1, 1))
    with torch.no_grad():
        layer.weight.zero_()[0, :after] = 3
    lists.refresh()
    assert lists.number == int(lists.kept.sum()) == (after if anew else before)
    assert (lists.walk("forward", (1, 1)) is not walk) == anew


@pytest.mark.parametrize("kept", [0, 1])
def test_a_layer_of_few_weights_or_none_has_lists(kept):
    _, lists = lists_of(kept)
    assert lists.kept.flatten().tolist() == [number < kept for number in range(8)]
    assert len(lists.walk("planes", (1, 1)).places) == kept


def test_a_weight_that_moves_makes_new_lists():
    layer, lists = lists_of(4)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.roll(1))
    lists.refresh()
    assert lists.kept.flatten().tolist() == [False, True, True, True, True, False, False, False]


def test_each_kind_and_size_has_a_walk_of_its_own():
    _, lists = lists_of(4)
    walks = [lists.walk(kind, (1, size)) for kind in ("forward", "backward", "planes") for size in (1, 2)]
    assert len({id(walk) for walk in walks}) == 6
    assert walks[0] is lists.walk("forward", (1, 1))


def test_values_are_taken_anew_where_the_weight_has_changed_and_kept_for_so_many_walks():
    layer = nn.Linear(4, 2)
    part = SparseLayer(layer)
    walks = [SimpleNamespace(places=torch.tensor([number % 8, 3])) for number in range(65)]
    values = part.list_values(walks[2], layer.weight)
    assert torch.equal(values, layer.weight.flatten()[[2, 3]])
    assert not values.requires_grad
    assert part.list_values(walks[2], layer.weight) is values
    with torch.no_grad():
        layer.weight.add_(1)
    assert torch.equal(part.list_values(walks[2], layer.weight), values + 1)
    for walk in walks[:64]:
        part.list_values(walk, layer.weight)
    assert len(part._values) == 64
    with torch.no_grad():
        layer.weight.add_(1)
    torch.testing.assert_close(part.list_values(walks[2], layer.weight), values + 2)
    assert len(part._values) == 64, "none of them is new"
    part.list_values(walks[64], layer.weight)
    assert len(part._values) == 1
    part.forget()
    assert len(part._values) == 0
    training = SparseLayer(layer, trains=True)
    one, other = (training.list_values(walks[2], layer.weight) for _ in range(2))
    assert one is not other
    torch.testing.assert_close(one, values + 2)
    assert len(training._values) == 0


LAYERS = {
    "convolution": (lambda: nn.Conv2d(3, 4, 3, (1, 2), (1, 0)), (3, 5, 6)),
    "without bias": (lambda: nn.Conv2d(3, 4, 2, bias=False), (3, 4, 3)),
    "linear": (lambda: nn.Linear(6, 4), (6,)),
}


@pytest.fixture(params=LAYERS)
def layer_and_images(request):
    make, shape = LAYERS[request.param]
    layer = make()
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight) < 0.4)
    return layer, torch.randn(19, *shape)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("adds", [True, False])
def test_it_computes_the_layer_of_images_and_of_blocks(layer_and_images, relu, adds):
    layer, images = layer_and_images
    part = SparseLayer(layer, relu=relu)
    expected = layer(images).detach()
    more = torch.randn_like(expected) if adds else None
    expected = expected + more if adds else expected
    expected = expected.relu() if relu else expected
    found = part(images, more)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)
    in_blocks = part(to_blocks(images), to_blocks(more) if adds else None)
    assert not in_blocks.requires_grad
    torch.testing.assert_close(from_blocks(in_blocks, 19), expected)


def test_nothing_follows_a_layer_and_it_does_not_train_unless_told(layer_and_images):
    layer, images = layer_and_images
    part = SparseLayer(layer)
    assert (part.relu, part.trains, part.dense_gradients, part.lists.mask()) == (False, False, False, None)
    assert list(part.parameters()) == []
    torch.testing.assert_close(part(images), layer(images).detach())


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_gradients_are_those_of_the_layer(layer_and_images, relu, dense):
    layer, images = layer_and_images
    exact = copy.deepcopy(layer).double()
    part = SparseLayer(layer, relu=relu, trains=True)
    part.dense_gradients = dense
    more = torch.randn_like(layer(images))
    inputs, added = (tensor.clone().requires_grad_() for tensor in (images, more))
    exact_inputs, exact_added = (tensor.double().requires_grad_() for tensor in (images, more))
    expected = exact(exact_inputs) + exact_added
    expected = expected.relu() if relu else expected
    found = from_blocks(part(to_blocks(inputs), to_blocks(added)), 19)
    gradients = torch.randn_like(found)
    found.backward(gradients)
    expected.backward(gradients.double())
    kept = torch.ones_like(layer.weight) if dense else (layer.weight != 0)
    pairs = [(inputs, exact_inputs.grad), (added, exact_added.grad), (layer.weight, exact.weight.grad * kept)]
    pairs += [] if layer.bias is None else [(layer.bias, exact.bias.grad)]
    for one, wanted in pairs:
        torch.testing.assert_close(one.grad, wanted.float(), atol=1e-4, rtol=1e-4)


def test_inputs_in_another_order_in_memory_get_their_gradient():
    layer = nn.Conv2d(3, 4, 3, (2, 1))
    plain = torch.randn(1, 3, 5, 6, 16)
    found = []
    for blocks in (plain, plain.to(memory_format=torch.channels_last_3d)):
        blocks = blocks.detach().requires_grad_()
        SparseLayer(layer, trains=True)(blocks).square().sum().backward()
        found += [blocks.grad.clone(), layer.weight.grad.clone()]
        layer.zero_grad()
    torch.testing.assert_close(found[:2], found[2:])


def test_only_what_wants_a_gradient_gets_one():
    layer, images = nn.Linear(3, 2), torch.randn(16, 3)
    layer.weight.requires_grad_(False)
    part = SparseLayer(layer, trains=True)
    part(to_blocks(images)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad.tolist() == [16, 16]
    with torch.no_grad():
        assert not part(to_blocks(images)).requires_grad
    layer.requires_grad_(False)
    assert not part(to_blocks(images)).requires_grad
