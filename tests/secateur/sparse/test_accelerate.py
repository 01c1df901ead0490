"""An accelerated network is the same function, in evaluation, under attack and in training."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.models.LeNet300 import LeNet300
from secateur.models.MobileNetV2 import MobileNetV2
from secateur.models.ResNet20 import ResNet20
from secateur.pruning.masks import Holding, Masks
from secateur.sparse import choice
from secateur.sparse.around import Around
from secateur.sparse.graph import from_blocks, to_blocks
from secateur.sparse.layer import Lists
from tests.secateur.sparse.networks import Sliced, Untraceable, Unusual, thinned

pytestmark = pytest.mark.usefixtures("own_cache")


NETWORKS = {
    "LeNet300": (lambda: LeNet300((1, 8, 8), 5), (1, 8, 8)),
    "ResNet20": (lambda: ResNet20((3, 8, 8), 5), (3, 8, 8)),
    "MobileNetV2": (lambda: MobileNetV2((3, 32, 32), 5), (3, 32, 32)),
    "Unusual": (Unusual, (3, 29, 13)),
    "Untraceable": (Untraceable, (3, 6, 6)),
    "Sliced": (Sliced, (3, 6, 6)),
}


def assert_close(found, expected, tolerance=1e-5):
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("between", [nn.ReLU(), nn.Tanh()])
def test_between_layers_numbers_change_one_by_one_in_blocks(between):
    network = thinned(nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), between, nn.Conv2d(4, 4, 1)))
    fast = secateur.accelerate(network, torch.randn(9, 3, 6, 6), execution="sparse")
    (way,) = fast._ways.values()
    targets = [node.target for node in way.graph.nodes]
    assert (targets.count(to_blocks), targets.count(from_blocks)) == (1, 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("number", [2, 19])
def test_it_computes_the_same(name, number):
    make, shape = NETWORKS[name]
    network, images = thinned(make()), torch.randn(number, *shape)
    before = copy.deepcopy(network.state_dict())
    fast = secateur.accelerate(network, images, execution="sparse")
    with torch.no_grad():
        expected = network(images)
        assert_close(fast(images), expected)
        assert_close(fast(images[:1]), expected[:1], 1e-4)
    assert all(choice.layers for choice in fast.choices.values())
    assert fast.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[key]) for key, tensor in fast.state_dict().items())


def test_blocks_stay_blocks_from_the_first_layer_to_the_last():
    network, images = thinned(ResNet20((3, 8, 8), 5)), torch.randn(16, 3, 8, 8)
    fast = secateur.accelerate(network, images, execution="sparse")
    (way,) = fast._ways.values()
    targets = [node.target for node in way.graph.nodes]
    assert targets.count(from_blocks) == 1
    assert targets.count(to_blocks) == 1 + 2  # the images, and the zeros of two padded shortcuts
    assert not any(target is functional.relu for target in targets)


def test_around_a_layer_where_the_network_cannot_be_traced():
    network, images = thinned(Untraceable()), torch.randn(9, 3, 6, 6)
    fast = secateur.accelerate(network, images, execution="sparse")
    assert [type(way) for way in fast._ways.values()] == [Around]
    (around,) = fast._ways.values()
    ran = []
    around.parts[network.layer].register_forward_hook(lambda *_: ran.append("by its lists"))
    with torch.no_grad():
        assert_close(fast(images), network(images))
    assert ran == ["by its lists"]
    assert type(network.layer).forward is nn.Linear.forward
    assert "forward" not in vars(network.layer)


@pytest.mark.parametrize(("number", "in_blocks"), [(7, False), (8, True)])
def test_layers_are_tried_in_blocks_from_so_many_images_on(monkeypatch, number, in_blocks):
    seen = []
    monkeypatch.setattr("secateur.sparse.accelerate.faster_layers", lambda *arguments: seen.append(arguments[2]) or [])
    secateur.accelerate(thinned(LeNet300((1, 8, 8), 5)), torch.randn(number, 1, 8, 8), execution="auto")
    assert seen
    assert set(seen) == {in_blocks}


def test_it_follows_weights_that_change():
    network, images = thinned(LeNet300((1, 8, 8), 5)), torch.randn(9, 1, 8, 8)
    fast = secateur.accelerate(network, images, execution="sparse")
    other = thinned(LeNet300((1, 8, 8), 5), density=0.3)
    fast.load_state_dict(other.state_dict())
    with torch.no_grad():
        assert_close(fast(images), other(images))


def test_the_gradient_of_the_inputs_is_the_same_which_attacks_use():
    network, images = thinned(ResNet20((3, 8, 8), 5)), torch.randn(5, 3, 8, 8)
    fast = secateur.accelerate(network, images, execution="sparse")
    gradients = []
    for each in (network, fast):
        inputs = images.clone().requires_grad_()
        functional.cross_entropy(each(inputs), torch.arange(5)).backward()
        gradients.append(inputs.grad)
    assert_close(gradients[1], gradients[0])


def test_hooks_and_other_formats_get_the_network_as_it_is():
    network, images = thinned(LeNet300((1, 8, 8), 5)), torch.randn(9, 1, 8, 8)
    fast = secateur.accelerate(network, images, execution="sparse")
    seen = []
    handle = network.classifier.register_forward_hook(lambda *arguments: seen.append(arguments[2].shape))
    with torch.no_grad():
        fast(images)
        handle.remove()
        assert torch.equal(fast.double()(images.double()), network(images.double()))
    assert seen == [(9, 5)]


@pytest.mark.parametrize("number", [16, 21])
def test_gradients_are_the_dense_masked_ones(number):
    network, images = thinned(ResNet20((3, 8, 8), 5)).train(), torch.randn(number, 3, 8, 8)
    masks = Masks(network)
    masks.set({name: weight.detach() != 0 for name, weight in masks.weights.items()})
    Holding(masks)
    exact = copy.deepcopy(network).double()
    fast = secateur.accelerate(network, images, execution="sparse", training=True)
    targets = torch.arange(number) % 5
    functional.cross_entropy(fast(images), targets).backward()
    functional.cross_entropy(exact(images.double()), targets).backward()
    for (name, found), (_, expected) in zip(network.named_parameters(), exact.named_parameters(), strict=True):
        kept = masks.kept.get(name.removesuffix(".weight"))
        wanted = expected.grad if kept is None else expected.grad * kept
        assert_close(found.grad, wanted, 1e-4)
        assert kept is None or not found.grad[~kept].any()
    for found, expected in zip(network.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(found.double(), expected.double(), atol=1e-5, rtol=1e-5)


def test_dense_gradients_are_there_for_criteria_that_look_at_them():
    network, images = thinned(Unusual()), torch.randn(16, 3, 29, 13)
    exact = copy.deepcopy(network)
    fast = secateur.accelerate(network, images, execution="sparse", training=True, dense_gradients=True)
    fast(images).square().sum().backward()
    exact(images).square().sum().backward()
    for found, expected in zip(network.parameters(), exact.parameters(), strict=True):
        assert_close(found.grad, expected.grad, 1e-4)


def test_masks_that_change_make_new_lists():
    layer = nn.Linear(6, 4)
    held = [torch.rand(4, 6) < 0.3]
    lists = Lists(layer, lambda: held[0])
    lists.refresh()
    assert torch.equal(lists.kept.view(4, 6), held[0])
    walk = lists.walk("forward", (1, 1))
    with torch.no_grad():
        layer.weight.zero_()
    lists.refresh()
    assert lists.walk("forward", (1, 1)) is walk, "weights that are regrown start at zero"
    held[0] = ~held[0]
    lists.refresh()
    assert torch.equal(lists.kept.view(4, 6), held[0])


def test_the_automatic_choice_is_written_down_and_repeated(monkeypatch):
    network, images = thinned(ResNet20((3, 8, 8), 5), 0.02), torch.randn(32, 3, 8, 8)
    monkeypatch.setattr(choice, "median_times", lambda calls, budget: {"dense": 2.0, "sparse": 1.0})
    first = secateur.accelerate(network, images)
    assert all(chosen.layers for chosen in first.choices.values())
    assert all(chosen.milliseconds["dense"] == 2000 for chosen in first.choices.values())

    def never(*_):
        raise AssertionError("timed again")

    monkeypatch.setattr(choice, "median_times", never)
    second = secateur.accelerate(network, images)
    assert second.choices == first.choices


def test_what_is_not_clearly_faster_is_not_chosen(monkeypatch):
    network, images = thinned(LeNet300((1, 8, 8), 5), 0.02), torch.randn(32, 1, 8, 8)
    same = {"dense": 1.0, "sparse": 0.99, "compacted": 0.99, "compacted, sparse": 0.99}
    monkeypatch.setattr(choice, "median_times", lambda calls, budget: same)
    fast = secateur.accelerate(network, images)
    assert [str(chosen) for chosen in fast.choices.values()] == ["dense"]
    with torch.no_grad():
        assert torch.equal(fast(images), network(images))


def test_a_copy_makes_its_own_lists():
    network, images = thinned(ResNet20((3, 8, 8), 5)), torch.randn(9, 3, 8, 8)
    fast = secateur.accelerate(network, images, execution="sparse")
    other = copy.deepcopy(fast)
    nn.init.zeros_(network.classifier.weight)
    with torch.no_grad():
        assert_close(other(images), other.network(images))
        assert not torch.equal(other(images), fast(images))


class Adding(nn.Module):
    """Adds to what is read again."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images):
        features = self.first(images)
        total = features
        total += self.second(features)
        return (torch.relu(total) + features).mean((-1, -2))


@pytest.mark.parametrize("number", [2, 19])
def test_what_is_added_to_in_place_is_seen_by_all_who_read_it(number):
    network, images = thinned(Adding()), torch.randn(number, 3, 6, 6)
    fast = secateur.accelerate(network, images, execution="sparse")
    with torch.no_grad():
        assert_close(fast(images), network(images))


def test_layers_that_become_sparse_are_chosen_anew():
    network, images = ResNet20((3, 8, 8), 5), torch.randn(16, 3, 8, 8)
    masks = Masks(network)
    Holding(masks)
    fast = secateur.accelerate(network, images, execution="sparse", training=True)
    fast.train()
    fast(images)
    assert not any(chosen.layers for chosen in fast.choices.values())
    masks.set({name: torch.rand_like(weight) < 0.1 for name, weight in masks.weights.items()})
    fast(images)
    (way,), (chosen,) = fast._ways.values(), fast.choices.values()
    assert len(chosen.layers) == len(masks.weights)
    masks.set({name: torch.rand_like(weight) < 0.1 for name, weight in masks.weights.items()})
    fast(images)
    assert list(fast._ways.values()) == [way], "other masks of the same layers make new lists alone"


def test_pruned_weights_that_no_mask_holds_train_on():
    network, images = LeNet300((1, 8, 8), 5), torch.randn(16, 1, 8, 8)
    masks = Masks(network, hold=False)
    masks.set({name: torch.rand_like(weight) < 0.1 for name, weight in masks.weights.items()})
    fast = secateur.accelerate(network, images, execution="sparse", training=True, masks=masks)
    fast(images).square().sum().backward()
    assert network.classifier.weight.grad[network.classifier.weight == 0].any()


def test_an_unknown_way_is_refused_by_name():
    with pytest.raises(ValueError, match="'fast' is not one of dense, sparse, auto"):
        secateur.accelerate(LeNet300((1, 8, 8), 5), torch.rand(1, 1, 8, 8), execution="fast")
