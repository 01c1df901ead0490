"""When a network runs by its lists, when as it is, and when it is chosen anew how."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import secateur
from secateur.pruning.masks import Holding, Masks
from secateur.sparse import accelerate
from secateur.sparse.accelerate import Accelerated, look_over
from secateur.sparse.choice import Choice
from secateur.sparse.folding import DenseLayer
from secateur.sparse.layer import SparseLayer

pytestmark = pytest.mark.usefixtures("own_cache")


def chosen(network, execution="auto", make=nn.Identity, compacted=False, **options):
    """An accelerated network for which is chosen what `make` gives; `asked` are how many images it was chosen for."""
    fast = Accelerated(network, execution, **options)
    fast.asked = []

    def choose(images, trains):
        fast.asked.append(len(images))
        return Choice(["0"], compacted, {"dense": 2.0}, len(images)), make()

    fast._choose = choose
    return fast


def is_chosen(fast, images):
    """Whether images go the way that was chosen, which gives them back."""
    return fast(images) is images


REGISTER = ["forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook"]


@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("place", ["", "0", "1.0"])
def test_hooks_of_all_kinds_are_found_anywhere(register, place):
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.ReLU())
    assert look_over(network)[1] is False
    handle = getattr(network.get_submodule(place), f"register_{register}")(lambda *_: None)
    assert look_over(network)[1] is True
    handle.remove()
    assert look_over(network)[1] is False


def test_all_parameters_and_buffers_are_looked_at():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Sequential(nn.BatchNorm1d(2)), nn.Sequential())
    network.append(nn.BatchNorm1d(2, track_running_stats=False)).add_module("nothing", None)
    found, _ = look_over(network)
    assert len(found) == 1 + 5 + 2
    assert {id(tensor) for tensor in found} == {id(tensor) for tensor in (*network.parameters(), *network.buffers())}


def test_a_way_is_for_few_images_or_more_of_one_shape_with_gradients_or_without():
    fast = chosen(nn.Conv2d(1, 1, 1).eval())
    fast(torch.ones(7, 1, 2, 3))
    with torch.no_grad():
        for images in ((8, 1, 2, 3), (7, 1, 2, 3), (1, 1, 2, 3), (9, 1, 2, 4)):
            fast(torch.ones(images))
    common = {"training": False, "layers": ["0"], "compacted": False, "milliseconds": {"dense": 2.0}}
    assert fast.described() == [
        {"few_images": False, "shape": [1, 2, 3], "images": 7, **common},
        {"few_images": True, "shape": [1, 2, 3], "images": 7, **common},
        {"few_images": False, "shape": [1, 2, 4], "images": 9, **common},
    ]


def test_a_way_is_for_training_where_gradients_are_taken_or_statistics():
    fast = chosen(nn.Conv2d(1, 1, 1).eval(), training=True)
    fast(torch.ones(9, 1, 2, 2))
    with torch.no_grad():
        fast(torch.ones(9, 1, 2, 2))
        fast.train()
        fast(torch.ones(9, 1, 2, 2))
    assert [one["training"] for one in fast.described()] == [True, False, True]
    assert [key[0] for key in fast.choices] == [False, False, True]


def test_only_float32_on_cpus_in_one_process_is_chosen_for(monkeypatch):
    network, images = nn.Linear(2, 2).eval(), torch.ones(3, 2)
    fast = chosen(network)
    assert is_chosen(fast, images)
    assert not is_chosen(chosen(network, "dense"), images)
    with torch.autocast("cpu"):
        assert not is_chosen(fast, images)
    monkeypatch.setattr(accelerate, "size", lambda: 2)
    assert not is_chosen(fast, images)
    monkeypatch.setattr(accelerate, "size", lambda: 1)
    assert is_chosen(fast, images)
    handle = network.register_forward_hook(lambda *_: None)
    assert not is_chosen(fast, images)
    handle.remove()
    assert is_chosen(fast, images)
    assert not is_chosen(chosen(nn.Linear(2, 2).double().eval()), images.double())
    assert not is_chosen(chosen(nn.Linear(2, 2, device="meta").eval()), images.to("meta"))


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("in_training", [True, False])
@pytest.mark.parametrize("hold", [True, False, None])
def test_training_runs_by_lists_where_masks_hold(trains, in_training, hold):
    network = nn.Linear(2, 2).train(in_training)
    masks = None if hold is None else Masks(network, hold)
    fast = chosen(network, training=trains, masks=masks)
    assert fast.training is in_training
    assert is_chosen(fast, torch.ones(3, 2)) == ((trains or not in_training) and not (trains and hold is False))


def test_masks_are_those_that_are_given_or_that_hold_while_it_trains():
    network, images = nn.Linear(2, 2), torch.ones(3, 2)
    held, other = Masks(network), Masks(network)
    holding = Holding(held)
    make = partial(secateur.accelerate, network, images, execution="dense")
    assert make(training=True).masks is held
    assert make(training=True, masks=other).masks is other
    assert make(masks=other).masks is other
    fast = make()
    assert fast.masks is None
    assert (fast.trains, fast.dense_gradients) == (False, False)
    assert (Accelerated(network, "auto").trains, Accelerated(network, "auto").dense_gradients) == (False, False)
    assert make(dense_gradients=True).dense_gradients is True
    holding.detach()


@pytest.mark.parametrize("hold", [True, False])
def test_layers_are_sparse_by_masks_that_hold(hold):
    network = nn.Sequential(nn.Linear(10, 2), nn.Linear(2, 2)).eval()
    masks = Masks(network, hold)
    kept = torch.arange(20).view(2, 10) < 7
    masks.restore({"0": kept})
    fast = secateur.accelerate(network, torch.ones(8, 10), execution="sparse", masks=masks)
    (choice,), (way,) = fast.choices.values(), fast._ways.values()
    assert choice == Choice(["0"] if hold else [], images=8)
    parts = [part for part in way.modules() if isinstance(part, SparseLayer)]
    assert [part.lists.mask() is kept for part in parts] == ([True] if hold else [])


def test_weights_are_taken_anew_once_after_training(monkeypatch):
    forgotten = []
    for kind in (SparseLayer, DenseLayer):
        monkeypatch.setattr(kind, "forget", lambda self: forgotten.append(type(self)))

    def make():
        return nn.Sequential(SparseLayer(nn.Linear(2, 2)), nn.ReLU(), DenseLayer(nn.Linear(2, 2)))

    network = nn.Linear(2, 2).eval()
    fast = chosen(network, make=make, training=True)
    with torch.no_grad():
        for trains, times in [(False, 0), (False, 0), (True, 0), (False, 2), (False, 2), (True, 2), (False, 4)]:
            network.train(trains)
            fast(torch.ones(8, 2))
            assert forgotten == [SparseLayer, DenseLayer] * times


def test_a_way_is_chosen_anew_where_shapes_change():
    network, images = nn.Linear(4, 4), torch.ones(8, 4)
    fast = chosen(network.eval())
    fast(images)
    fast(images)
    with torch.no_grad():
        network.weight.add_(1)
    fast(images)
    assert fast.asked == [8]
    network.weight = nn.Parameter(torch.ones(3, 4))
    fast(images)
    fast(images)
    assert fast.asked == [8, 8]


def test_a_way_is_chosen_anew_where_other_masks_make_other_layers_sparse():
    network, images = nn.Sequential(nn.Linear(10, 1), nn.Linear(1, 10)), torch.ones(8, 10)
    masks = Masks(network.eval())
    fast = chosen(network, masks=masks)
    fast(images)
    few, many = torch.arange(10) < 3, torch.arange(10) < 4
    for weights, times in [(many, 1), (few, 2), (~many, 3), (few.flip(0), 4), (few, 4)]:
        masks.restore({"0": weights[None]})
        fast(images)
        fast(images)
        assert len(fast.asked) == times


@pytest.mark.parametrize(
    ("compacted", "trains", "anew"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_a_compacted_copy_is_made_anew_where_weights_change(compacted, trains, anew):
    network, images = nn.Linear(4, 4).eval(), torch.ones(8, 4)
    fast = chosen(network, compacted=compacted, training=trains)
    with torch.no_grad():
        fast(images)
        fast(images)
        assert fast.asked == [8]
        network.weight.add_(1)
        fast(images)
        fast(images)
    assert fast.asked == [8] * (1 + anew)


def test_one_compacted_way_is_enough_to_choose_all_anew():
    network = nn.Linear(4, 4).eval()
    fast = chosen(network, compacted=True)
    with torch.no_grad():
        fast(torch.ones(8, 4))
        fast.choices["another"] = Choice()
        network.weight.add_(1)
        fast(torch.ones(8, 4))
    assert fast.asked == [8, 8]
    assert len(fast.choices) == 1


def offset_rewriter(offset):
    """In the place of `Rewriter`: what it gives differs by so much in the last output."""

    def make(traced, images, layers, *_):
        last = torch.tensor([0.0, 0.0, offset])
        return SimpleNamespace(rewrite=lambda: lambda given: traced(given) + last)

    return make


@pytest.mark.parametrize(
    ("weight", "offset", "is_used"),
    [
        ([-4.0, 1.0, 2.0], 0.0039, True),
        ([-4.0, 1.0, 2.0], -0.0039, True),
        ([-4.0, 1.0, 2.0], 0.0041, False),
        ([-4.0, 1.0, 2.0], -0.0041, False),
        ([0.0, 0.0, 0.0], 0.0, True),
        ([0.0, 0.0, 0.0], 1e-6, False),
    ],
)
def test_what_is_traced_is_used_where_it_agrees_to_a_thousandth(monkeypatch, weight, offset, is_used):
    network = nn.Sequential(nn.Linear(1, 3, bias=False)).eval()
    network[0].weight.data = torch.tensor(weight)[:, None]
    monkeypatch.setattr(accelerate, "Rewriter", offset_rewriter(offset))
    way = Accelerated(network, "sparse")._way(network, torch.ones(8, 1), ["0"], False)
    assert (not isinstance(way, accelerate.Around)) == is_used


def test_few_images_are_rewritten_without_blocks_where_no_gradients_are_taken(monkeypatch):
    network, seen = nn.Sequential(nn.Linear(1, 3)).eval(), []

    def make(traced, images, *arguments):
        seen.append((len(images), *arguments[:3], arguments[4]))
        return SimpleNamespace(rewrite=lambda: traced)

    monkeypatch.setattr(accelerate, "Rewriter", make)
    fast = Accelerated(network, "sparse", dense_gradients=True)
    with torch.no_grad():
        for number in (7, 8):
            fast._way(network, torch.ones(number, 1), ["0"], False)
    fast._way(network, torch.ones(7, 1), ["0"], True)
    assert seen == [(7, ["0"], False, False, True), (8, ["0"], True, False, True), (7, ["0"], True, True, True)]
    assert fast._way(network, torch.ones(7, 1), [], True) is network


def test_why_a_network_is_not_traced_is_told_to_those_who_look_for_it(monkeypatch, caplog):
    def refuse(network):
        raise TypeError("it decides by values")

    monkeypatch.setattr(accelerate.fx, "symbolic_trace", refuse)
    network = nn.Sequential(nn.Linear(1, 3)).eval()
    with caplog.at_level("DEBUG"):
        way = Accelerated(network, "sparse")._way(network, torch.ones(8, 1), ["0"], True)
    assert caplog.messages == ["not traced, layouts change around layers: it decides by values"]
    assert isinstance(way, accelerate.Around)
    assert next(iter(way.layers)).trains is True
