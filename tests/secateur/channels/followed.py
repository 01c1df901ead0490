"""What a trace makes of single operations: the labels of their results, what goes together, and what stays."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from secateur.channels.sizes import Sizes
from secateur.channels.tracing import Trace


class Followed(NamedTuple):
    """Labels are numbers, from 0, in the order of the inputs and their dimensions; -1 is none.

    `results` has of each tensor what lies along each dimension: None, the classes, or of what is composed the classes
    of each part. `together` says by label which smaller one it goes with, `held` why classes stay.
    """

    results: list
    together: dict
    held: dict
    averages: dict


def follow(function, *inputs, network=None, sized=False):
    """Trace a function of inputs, of which a shape stands for a tensor with new labels, none where a size is below 0.

    A tensor is one that nothing is known of. With `network` that is the module that runs; `sized` lets sizes be known.
    """
    trace = Trace(network or nn.Module())
    if network is not None:
        trace.running.append("")
    tensors = [entry if isinstance(entry, Tensor) else torch.rand([abs(size) for size in entry]) for entry in inputs]
    for tensor, entry in zip(tensors, inputs, strict=True):
        if entry is not tensor:
            trace.set(tensor, tuple(trace.labels.new(size) if size > 0 else None for size in entry))
    number = trace.labels.count
    with torch.no_grad():
        if sized:
            with Sizes(trace) as sizes, trace:
                results = function(*tensors)
            sizes.hold_scaled()
        else:
            with trace:
                results = function(*tensors)
    classes = trace.labels.classes()

    def shown(labels):
        if labels is None:
            return None
        rows = classes.parts_of(classes.of(labels)).tolist()
        return rows if len(rows) > 1 else rows[0]

    known = [trace.axes(tensor) for tensor in tree_flatten(results)[0] if isinstance(tensor, Tensor)]
    numbers = classes.of(torch.arange(number)).tolist()
    return Followed(
        [None if axes is None else tuple(map(shown, axes)) for axes in known],
        {label: own for label, own in enumerate(numbers) if own != label},
        dict(classes.held),
        {key: shown(labels) for key, labels in trace.averages.items()},
    )
