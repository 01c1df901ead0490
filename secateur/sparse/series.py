"""Layers of a few images that run one after the other in one call of their kernel.

A layer of one image takes less time than it takes to call a kernel and to wake its threads: of ResNet18 at 98 % these
came to more than half.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from torch import Tensor, fx, nn

from secateur.sparse.convolution import PlaneJobs
from secateur.sparse.kernels import address_of
from secateur.sparse.layer import SparseLayer, as_planes


class Series(nn.Module):
    """Layers by their lists, each of which takes what the series is given, or the outputs of one before it.

    Parameters
    ----------
    layers: layers of images (N, C, H, W), or of features (N, F), in the order in which they run.
    wiring: of each layer, which value it takes and which one it adds, if any. Values are what the series is given, then
        the outputs of its layers.
    leaving: the values that the series gives, by their numbers.
    """

    def __init__(self, layers: list[SparseLayer], wiring: list[tuple[int, ...]], leaving: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.wiring, self.leaving = wiring, leaving
        self._jobs: PlaneJobs | None = None

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Return the values that leave."""
        values = [as_planes(value.detach().contiguous()) for value in inputs]
        walks, listed, layers = [], [], []
        for layer, (source, *more) in zip(self.layers, self.wiring, strict=True):
            images = values[source]
            weight, bias = layer.parameters_now()
            walk = layer.lists.walk("planes", tuple(images.shape[2:]))
            outputs = images.new_empty(len(images), len(weight), walk.job.out_height, walk.job.out_width)
            listed += [layer.list_values(walk, weight), bias]  # which have to be there until the kernel has run
            added = address_of(values[more[0]]) if more else 0
            layers.append((*map(address_of, (images, outputs, *listed[-2:])), added, layer.relu))
            values.append(outputs)
            walks.append(walk)
        if self._jobs is None or not self._jobs.fit(walks, len(inputs[0])):
            self._jobs = PlaneJobs(walks, len(inputs[0]))
        self._jobs.run(layers)
        found = [values[number] for number in self.leaving]
        return [value.flatten(1) for value in found] if inputs[0].dim() == 2 else found


def join(graph: fx.Graph, part_of: Callable[[fx.Node], nn.Module | None], name: Callable[[nn.Module], str]) -> None:
    """Put a series in the place of each run of layers by their lists.

    Parameters: `part_of`, the module that a node calls; `name`, which gives a new module a name to be called by.
    """
    runs: list[list[fx.Node]] = [[]]
    before = None  # of how many dimensions the values of the node before are, where it is such a layer
    for node in graph.nodes:
        here = len(node.meta["tensor_meta"].shape) if isinstance(part_of(node), SparseLayer) else None
        if here != before:
            runs.append([])
        if here is not None:
            runs[-1].append(node)
        before = here
    for run in (run for run in runs if len(run) > 1):
        _put_series(graph, run, part_of, name)


def _put_series(
    graph: fx.Graph,
    run: list[fx.Node],
    part_of: Callable[[fx.Node], nn.Module | None],
    name: Callable[[nn.Module], str],
) -> None:
    given = list(dict.fromkeys(value for node in run for value in node.all_input_nodes if value not in run))
    numbers = {value: number for number, value in enumerate([*given, *run])}
    wiring = [tuple(numbers[value] for value in node.args) for node in run]
    leaving = [node for node in run if any(user not in run for user in node.users)]
    series = Series([part_of(node) for node in run], wiring, [numbers[node] for node in leaving])
    with graph.inserting_before(run[0]):
        called = graph.call_module(name(series), tuple(given))
        found = [graph.call_function(operator.getitem, (called, place)) for place in range(len(leaving))]
    for node, value in zip(leaving, found, strict=True):
        value.meta = node.meta
        node.replace_all_uses_with(value)
    for node in reversed(run):
        graph.erase_node(node)
