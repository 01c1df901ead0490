"""Which ways to run a network are tried, and what becomes of those that are not chosen."""

import pytest
import torch
from torch import nn

import secateur
from secateur.pruning.masks import Masks
from secateur.sparse import accelerate, choice
from secateur.sparse.accelerate import Accelerated
from secateur.sparse.around import Around
from secateur.sparse.choice import Choice
from secateur.sparse.layer import SparseLayer
from tests.secateur.sparse.networks import Untraceable

pytestmark = pytest.mark.usefixtures("own_cache")


def network_with_idle_channels(density=1.0):
    """Of four channels two are always zero; of (1, 4, 4) images it makes two numbers."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    with torch.no_grad():
        network[0].weight[2:] = network[0].bias[2:] = 0
        network[3].weight.mul_(torch.arange(16) % 4 < 4 * density)
    return network


@pytest.fixture
def say(monkeypatch):
    """Say which way is the fastest: it takes a second, the others two. Returns all ways that were timed."""
    timed = []

    def fastest_is(best):
        def times(calls, budget):
            timed.append(list(calls))
            return {name: 1.0 if name == best else 2.0 for name in calls}

        monkeypatch.setattr(choice, "median_times", times)
        return timed

    return fastest_is


def test_a_network_runs_without_its_idle_channels_where_that_is_faster(say):
    network, images = network_with_idle_channels(), torch.randn(8, 1, 4, 4)
    timed = say("compacted")
    fast = secateur.accelerate(network, images)
    (made,), (way,) = fast.choices.values(), fast._ways.values()
    assert timed[-1] == ["dense", "compacted"]
    assert made == Choice([], True, {"dense": 2000.0, "compacted": 1000.0}, 8)
    assert (way[0].out_channels, way.training) == (2, False)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images))
    timed.clear()
    again = secateur.accelerate(network, images)  # as it is written down
    assert timed == []
    assert list(again.choices.values()) == [made]
    assert next(iter(again._ways.values()))[0].out_channels == 2


def test_a_network_that_trains_keeps_its_idle_channels(say):
    timed = say("dense")
    fast = secateur.accelerate(network_with_idle_channels(), torch.randn(8, 1, 4, 4), training=True)
    assert timed[-1] == ["dense"]
    assert list(fast.choices.values()) == [Choice([], False, {"dense": 1000.0}, 8)]
    say("dense")
    secateur.accelerate(nn.Sequential(nn.Linear(2, 2)), torch.ones(8, 2))
    assert timed[-1] == ["dense"], "where none is idle nothing is compacted"


def test_layers_of_the_smaller_network_run_by_lists_of_their_own(say, monkeypatch):
    network, images = network_with_idle_channels(density=0.25), torch.randn(8, 1, 4, 4)
    masks = Masks(network)
    masks.set({name: weight != 0 for name, weight in masks.weights.items()})
    say("compacted, sparse")
    monkeypatch.setattr(accelerate, "faster_layers", lambda *_: ["3"])
    fast = secateur.accelerate(network, images, masks=masks)
    (made,), (way,) = fast.choices.values(), fast._ways.values()
    names = ["dense", "sparse", "compacted", "compacted, sparse"]
    assert made == Choice(["3"], True, {name: 1000.0 if "," in name else 2000.0 for name in names}, 8)
    (part,) = (part for part in way.modules() if isinstance(part, SparseLayer))
    assert part.lists.mask() is None, "the masks are those of the larger one"
    assert part.layer.in_features == 8
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images))


@pytest.mark.parametrize(("number", "layers"), [(7, ["0", "2", "3"]), (8, ["3", "0"])])
def test_a_call_costs_a_layer_of_a_few_images_nothing(say, monkeypatch, number, layers):
    network = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    with torch.no_grad():
        network[0].weight.mul_(torch.arange(8) < 2)
        network[2].weight.zero_()
    say("sparse")
    asked = []

    def faster(base, images, in_blocks):
        asked.append(in_blocks)
        return ["3", "0"]

    monkeypatch.setattr(accelerate, "faster_layers", faster)
    monkeypatch.setattr(accelerate, "compact", lambda *_: None)
    fast = secateur.accelerate(network, torch.randn(number, 8))
    assert asked == [number == 8]
    assert list(fast.choices.values()) == [Choice(layers, False, {"dense": 2000.0, "sparse": 1000.0}, number)]


def training_network():
    network = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    with torch.no_grad():
        network[0].weight.mul_(torch.arange(8) < 2)
    return network


@pytest.mark.parametrize(("best", "layers"), [("sparse", ["0"]), ("dense", [])])
def test_steps_of_training_are_tried_on_a_copy(say, monkeypatch, best, layers):
    network, images = training_network(), torch.randn(9, 8)
    timed, ways = say(best), []
    monkeypatch.setattr(
        accelerate, "fastest_to_train", lambda *given: ways.extend(given) or choice.fastest_to_train(*given)
    )
    fast = Accelerated(network, "auto", training=True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    made, way = fast._choose(images, True)
    dense, sparse, _ = ways
    assert timed == [["dense", "sparse"]]
    assert dense is not network
    assert dense.training
    sparse(images).square().sum().backward()
    assert dense[0].weight.grad[:, :2].any()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    way(images).square().sum().backward()
    assert made == Choice(layers, False, {"dense": 2000.0, "sparse": 2000.0, best: 1000.0}, 9)
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert any(isinstance(part, SparseLayer) for part in way.modules()) is (best == "sparse")


def test_where_no_layer_is_sparse_there_is_nothing_to_try_in_training(say):
    timed = say("sparse")
    network = nn.Sequential(nn.Linear(8, 4))
    fast = Accelerated(network, "auto", training=True)
    fast(torch.randn(9, 8))
    assert timed == []
    assert list(fast.choices.values()) == [Choice(images=9)]
    assert list(fast._ways.values()) == [network]


def test_one_image_shows_how_a_network_is_compacted(monkeypatch, caplog):
    network, shapes = nn.Sequential(nn.Linear(8, 4)), []
    fast = Accelerated(network, "auto")
    monkeypatch.setattr(accelerate, "compact", lambda network, images, masks: shapes.append(images.shape))
    assert fast._compacted(torch.ones(3, 8)) is network
    assert shapes == [(1, 8)]

    def refuse(*_):
        raise ValueError("layers of two inputs")

    monkeypatch.setattr(accelerate, "compact", refuse)
    with caplog.at_level("DEBUG"):
        assert fast._compacted(torch.ones(3, 8)) is network
    assert caplog.messages == ["not compacted: layers of two inputs"]


@pytest.mark.parametrize("trains", [True, False])
def test_around_layers_masks_and_gradients_are_as_they_are_told(trains):
    network, images = Untraceable(), torch.randn(16, 3, 6, 6)
    mask = torch.arange(20).view(5, 4) % 3 == 0
    with torch.no_grad():
        network.layer.weight.mul_(mask)
    around = Around(network, ["layer"], trains, {"layer": mask}.get, dense_gradients=trains)
    (part,) = around.layers
    assert (part.trains, part.dense_gradients, part.lists.mask() is mask) == (trains, trains, True)
    assert [type(module) for module in around.modules()] == [Around, nn.ModuleList, SparseLayer]
    around(images).square().sum().backward()
    assert network.convolution.weight.grad.any()
    assert (network.layer.weight.grad is not None) == trains
    if trains:
        assert network.layer.weight.grad[~mask].all()
    torch.testing.assert_close(around(images), network(images))
