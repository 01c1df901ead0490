"""Which operations work on blocks of images as they are, and before which blocks become images again."""

import operator
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.nn import functional

from secateur.sparse import graph
from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.graph import Rewriter
from secateur.sparse.layer import SparseLayer
from tests.secateur.sparse.networks import thinned


class Between(nn.Module):
    """What happens between two layers, a convolution of three channels to four, and one of so many, or a linear one."""

    def __init__(self, what, channels=4, linear=False):
        super().__init__()
        self.what, self.first = what, nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Linear(channels, 2) if linear else nn.Conv2d(channels, 2, 1)
        self.middle, self.dense = nn.Conv2d(4, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.pool, self.flat = nn.AvgPool2d(2), nn.Flatten()

    def forward(self, images):
        return self.last(self.what(self, self.first(images), images))


def rewritten(network, images, layers=("first", "middle", "last"), **options):
    return Rewriter(symbolic_trace(network), images, layers, **options).rewrite()


def conversions(way):
    """How often images become blocks, and blocks images."""
    targets = [node.target for node in way.graph.nodes]
    return targets.count(to_blocks), targets.count(from_blocks)


STAYS, ONCE = (1, 1), (2, 2)


@pytest.mark.parametrize(
    ("what", "channels", "expected"),
    [
        (lambda n, f, i: torch.sigmoid(f) * 2 - 1, 4, STAYS),
        (lambda n, f, i: functional.gelu(f), 4, STAYS),
        (lambda n, f, i: f * f + 1, 4, STAYS),
        (lambda n, f, i: f * f[:1], 4, ONCE),
        (lambda n, f, i: f * f.mean(), 4, ONCE),
        (lambda n, f, i: f.mean() * f, 4, ONCE),
        (lambda n, f, i: f + n.dense(i), 4, (2, 1)),
        (lambda n, f, i: f.softmax(1), 4, ONCE),
        (lambda n, f, i: n.pool(f), 4, STAYS),
        (lambda n, f, i: functional.max_pool2d(f, 3, stride=1, padding=1), 4, STAYS),
        (lambda n, f, i: functional.adaptive_avg_pool2d(f, 1), 4, STAYS),
        (lambda n, f, i: torch.cat([f, n.middle(f)], 1), 8, STAYS),
        (lambda n, f, i: torch.cat((f, i), dim=-3), 7, STAYS),
        (lambda n, f, i: torch.concat(tensors=(f, f * 2), dim=1), 8, STAYS),
        (lambda n, f, i: torch.cat([f, f], 2), 4, ONCE),
        (lambda n, f, i: torch.cat([f, f], -1), 4, ONCE),
        (lambda n, f, i: f[:, 1:3], 2, STAYS),
        (lambda n, f, i: f[:, :, ::2, 1:], 4, STAYS),
        (lambda n, f, i: f[:], 4, STAYS),
        (lambda n, f, i: f[..., 1:], 4, ONCE),
        (lambda n, f, i: f[:, ..., 1:], 4, ONCE),
        (lambda n, f, i: f[:, 1][:, None], 1, ONCE),
        (lambda n, f, i: f[torch.arange(19)], 4, ONCE),
        (lambda n, f, i: functional.pad(f, (1, 2, 0, 1)), 4, STAYS),
        (lambda n, f, i: functional.pad(f, (0, 0, 1, 0, 2, 1)), 7, STAYS),
        (lambda n, f, i: functional.pad(f, (0, 1, 1, 0), "constant", 3.0), 4, STAYS),
        (lambda n, f, i: functional.pad(f, (0, 1, 0, 0), mode="replicate"), 4, STAYS),
        (lambda n, f, i: functional.pad(f, (0, 1, 0, 0, 0, 0, 0, 0)), 4, ONCE),
        (lambda n, f, i: f.mean((2, 3), keepdim=True), 4, STAYS),
        (lambda n, f, i: torch.mean(f, (-1, 2), True), 4, STAYS),
        (lambda n, f, i: f.mean(dim=[3, -2], keepdim=True), 4, STAYS),
        (lambda n, f, i: f.mean(1, keepdim=True), 1, ONCE),
        (lambda n, f, i: f.mean((1, 3), keepdim=True), 1, ONCE),
        (lambda n, f, i: f.mean((1, 2, 3), keepdim=True), 1, ONCE),
        (lambda n, f, i: f.flip(3), 4, ONCE),
        (lambda n, f, i: f[:, f.shape[1] - 3 :], 3, STAYS),
        (lambda n, f, i: f[:, : f.shape[-3] - 1, :, f.shape[3] - 2 :], 3, STAYS),
        (lambda n, f, i: f[:, :, f.shape[-1] - 3 :], 4, STAYS),
        (lambda n, f, i: f[:, :, f.shape[1:][0] :], 4, (1, 2)),
        (lambda n, f, i: f.reshape(f.shape[0], 2, 2, -1).reshape(f.shape), 4, ONCE),
        (lambda n, f, i: f * f.ndim, 4, ONCE),
        (lambda n, f, i: n.middle(f.flip(2)) + f.flip(3), 4, (3, 2)),
    ],
)
def test_between_convolutions(what, channels, expected):
    network, images = thinned(Between(what, channels)), torch.randn(19, 3, 6, 5)
    way = rewritten(network, images)
    assert conversions(way) == expected
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))


@pytest.mark.parametrize(
    ("what", "features", "expected"),
    [
        (lambda n, f, i: f.mean((2, 3)), 4, STAYS),
        (lambda n, f, i: torch.mean(f, [3, 2]), 4, STAYS),
        (lambda n, f, i: n.flat(f), 120, STAYS),
        (lambda n, f, i: torch.flatten(f, 1), 120, STAYS),
        (lambda n, f, i: f.view(f.shape[0], -1), 120, STAYS),
        (lambda n, f, i: n.flat(n.flat(f)), 120, STAYS),
        (lambda n, f, i: f.reshape(-1, 120), 120, STAYS),
        (lambda n, f, i: f.reshape(19 * 4, 30)[:19], 30, ONCE),
        (lambda n, f, i: f.flatten(2).sum(1), 30, ONCE),
        (lambda n, f, i: f.view(i.size(0), -1), 120, STAYS),
        (lambda n, f, i: torch.cat([f.flatten(1), f.mean((2, 3))], -1), 124, STAYS),
        (lambda n, f, i: torch.cat([f.flatten(1), f.mean((2, 3))], dim=1)[:, 3:], 121, STAYS),
        (lambda n, f, i: n.flat(f) - n.flat(f).mean((-2, -1)), 120, (2, 3)),
        (lambda n, f, i: n.flat(f)[: n.flat(f).shape[0]], 120, (2, 3)),
        (lambda n, f, i: torch.relu(n.flat(f)) * 3, 120, STAYS),
    ],
)
def test_between_a_convolution_and_a_linear_layer(what, features, expected):
    network, images = thinned(Between(what, features, linear=True)), torch.randn(19, 3, 6, 5)
    way = rewritten(network, images)
    assert conversions(way) == expected
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))


class Changed(nn.Module):
    """What is read by one layer, changed in place, and read by another."""

    def __init__(self, change):
        super().__init__()
        self.change, self.dense = change, nn.Conv2d(3, 4, 1)
        self.first, self.last = nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images):
        features = self.dense(images)
        before = self.first(features)
        changed = self.change(self, features)
        return before * self.last(features) + changed.mean()


@pytest.mark.parametrize(
    "change",
    [
        lambda n, f: n.relu(f),
        lambda n, f: functional.relu(f, inplace=True),
        lambda n, f: f.mul_(3),
        lambda n, f: torch.relu_(f),
    ],
)
def test_what_is_changed_in_place_is_converted_anew(change):
    network, images = thinned(Changed(change), density=0.5), torch.randn(9, 3, 4, 4)
    way = rewritten(network, images, ["first", "last"])
    assert conversions(way) == (2, 1)
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))


@pytest.mark.parametrize(("operation", "count"), [(operator.mul, 1), (operator.imul, 2), (operator.iadd, 2)])
def test_operators_change_in_place_where_they_say_so(operation, count):
    network, images = thinned(Changed(lambda n, f: f * 3), density=0.5), torch.randn(9, 3, 4, 4)
    traced = symbolic_trace(network)
    for node in traced.graph.nodes:  # torch traces `*=` as `*`
        node.target = operation if node.target is operator.mul and node.args[1] == 3 else node.target
    traced.recompile()
    with torch.no_grad():
        expected = traced(images)
        way = Rewriter(traced, images, ["first", "last"]).rewrite()
        torch.testing.assert_close(way(images), expected)
    assert conversions(way) == (count, 1)


def test_blocks_are_features_too():
    blocks = torch.arange(2 * 3 * 4 * 5 * 16).view(2, 3, 4, 5, 16)
    assert torch.equal(graph.flattened(blocks), blocks.view(2, 60, 16))
    assert torch.equal(graph.flattened(blocks.view(2, 60, 16)), blocks.view(2, 60, 16))


class Holder(nn.Module):
    """A network whose parts stand in folders, with tensors of its own."""

    def __init__(self, *shape):
        super().__init__()
        self.inner = nn.Module()
        self.inner.first, self.inner.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.inner.scale = nn.Parameter(torch.randn(shape))
        self.inner.register_buffer("shift", torch.randn(4, 1, 1))

    def forward(self, images):
        features = self.inner.scale * self.inner.first(images) + self.inner.shift
        return self.inner.last(features.softmax(1))


@pytest.mark.parametrize("blocks", [True, False])
def test_what_a_network_holds_is_shared_under_its_name(blocks):
    network, images = thinned(Holder(4, 1, 1)), torch.randn(3, 3, 4, 4)
    way = rewritten(network, images, ["inner.first"], blocks=blocks)
    parameters = dict(way.named_parameters())
    assert list(parameters) == ["inner.scale", "inner.last.weight", "inner.last.bias"]
    assert parameters["inner.scale"] is network.inner.scale
    assert dict(way.named_buffers())["inner.shift"] is network.inner.shift
    assert type(way.inner.last) is nn.Conv2d
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))
    targets = [node.target for node in way.graph.nodes]
    assert (len in targets) == blocks
    assert conversions(way) == ((1, 1) if blocks else (0, 0))
    assert [isinstance(part, SparseLayer) for part in way.children()].count(True) == 1


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1)])
def test_parameters_are_no_images_even_if_the_example_is_one(shape):
    network, images = thinned(Holder(*shape)), torch.randn(5, 3, 4, 4)
    way = rewritten(network, images[:1], ["inner.first", "inner.last"])
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))


def test_parts_of_a_network_may_be_called_parts():
    network = thinned(nn.Sequential(OrderedDict(first=nn.Conv2d(3, 4, 1), part0=nn.Conv2d(4, 2, 1))))
    images = torch.ones(9, 3, 2, 2)
    way = rewritten(network, images, ["first", "part0"])
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))
