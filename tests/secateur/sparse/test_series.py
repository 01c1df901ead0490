"""Layers that run in one call of their kernel compute what they compute one by one."""

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace

from secateur.sparse.graph import Rewriter
from secateur.sparse.layer import SparseLayer
from secateur.sparse.series import Series


class Branching(nn.Module):
    """Layers that read each other's outputs across, some of which others read too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.wide = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.narrow = nn.Conv2d(4, 4, 1, stride=2)
        self.norm, self.last = nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, dilation=2, padding=1)

    def forward(self, images):
        features = torch.relu(self.first(images))
        shortcut = self.narrow(features)
        features = torch.relu(self.norm(shortcut + self.wide(features)))
        return self.last(features).mean((2, 3)), shortcut.amax((2, 3))


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("threads", [1, 3])
def test_layers_of_a_few_images_run_in_one_call(number, threads):
    network, images = Branching().eval(), torch.randn(number, 3, 11, 9)
    network.norm.running_mean.normal_()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(torch.rand_like(weight) < 0.3)
    way = Rewriter(symbolic_trace(network), images, ["first", "wide.0", "narrow", "last"], blocks=False).rewrite()
    parts = [way.get_submodule(node.target) for node in way.graph.nodes if node.op == "call_module"]
    assert [len(part.layers) if isinstance(part, Series) else type(part) for part in parts] == [
        3,
        nn.BatchNorm2d,
        SparseLayer,
    ]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.no_grad():
            for found, expected in zip(way(images), network(images), strict=True):
                torch.testing.assert_close(found, expected)
            for found, expected in zip(way(images[:1, :, :7]), network(images[:1, :, :7]), strict=True):
                torch.testing.assert_close(found, expected)
    finally:
        torch.set_num_threads(before)


class TwoInputs(nn.Module):
    """A layer of images right beside layers of features."""

    def __init__(self):
        super().__init__()
        self.filters, self.first = nn.Conv2d(3, 4, 3), nn.Linear(3, 8)
        self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, images):
        features = images.mean((2, 3))
        planes = self.filters(images)
        features = torch.relu(self.first(features))
        return self.last(self.second(features) + features), planes


def test_layers_of_features_run_in_one_call():
    network, images = TwoInputs().eval(), torch.randn(3, 3, 6, 5)
    way = Rewriter(symbolic_trace(network), images, ["filters", "first", "second", "last"], blocks=False).rewrite()
    parts = [way.get_submodule(node.target) for node in way.graph.nodes if node.op == "call_module"]
    assert [len(part.layers) if isinstance(part, Series) else type(part) for part in parts] == [SparseLayer, 3]
    with torch.no_grad():
        for found, expected in zip(way(images), network(images), strict=True):
            torch.testing.assert_close(found, expected)


def series_in(way):
    return [part for part in way.modules() if isinstance(part, Series)]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_two_layers_are_a_series(layers):
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3))).eval()
    images = torch.randn(2, 3, 4, 5)
    way = Rewriter(symbolic_trace(network), images, [str(number) for number in range(layers)], blocks=False).rewrite()
    assert [len(series.layers) for series in series_in(way)] == ([layers] if layers > 1 else [])
    with torch.no_grad():
        torch.testing.assert_close(way(images), network(images))


def test_what_a_series_is_told_is_kept_for_so_many_images():
    network, images = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).eval(), torch.randn(3, 3)
    way = Rewriter(symbolic_trace(network), images, ["0", "1"], blocks=False).rewrite()
    (series,) = series_in(way)
    assert (series.wiring, series.leaving) == ([(0,), (1,)], [2])
    with torch.no_grad():
        way(images)
        jobs = series._jobs
        torch.testing.assert_close(way(2 * images), network(2 * images))
        assert series._jobs is jobs
        torch.testing.assert_close(way(images[:2]), network(images[:2]))
        assert series._jobs is not jobs
        network[1].weight[0] = 0
        network[1].weight[1, 1:] = 0
        torch.testing.assert_close(way(images), network(images))
