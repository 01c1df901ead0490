"""What operations with weights do with channels, and what numbers that meet one by one do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from secateur.channels.labels import MEET

if TYPE_CHECKING:
    from secateur.channels.tracing import Trace


def pointwise(trace: Trace, inputs: list[Tensor], result: Tensor) -> None:
    """Dimensions of one size meet; a single number is there for all of the others."""
    found: list[Tensor | None] = [None] * result.dim()
    known = [(tensor, trace.axes(tensor)) for tensor in inputs]
    for behind in range(1, result.dim() + 1):
        size = result.shape[-behind]
        meeting = []
        for tensor, axes in known:
            if axes is None or tensor.dim() < behind:
                continue
            if tensor.shape[-behind] == size:
                meeting.append(axes[-behind])
            elif axes[-behind] is not None:
                trace.labels.hold(axes[-behind], "it is one for all channels of others")
        if size == 1:  # whether it is there for the batch, a map or a channel cannot be seen
            meeting = [labels for labels in meeting if labels is not None]
        if meeting:
            labels = meeting[0]
            for others in meeting[1:]:
                labels = trace.couple(labels, others)
            found[-behind] = labels
    trace.set(result, tuple(found))


def convolve(trace: Trace, bound: dict[str, Any], result: Tensor) -> None:
    """The channels that are read meet the weight's inputs; what comes out is counted as its outputs are."""
    source, weight, groups = bound["input"], bound["weight"], bound["groups"]
    image, (outputs, inputs) = list(trace.known(source)), trace.known(weight)[:2]
    if bound["transposed"]:
        outputs, inputs = inputs, outputs
    trace.image_channels[id(weight)] = read = image[1]
    trace.hold(source, range(2, source.dim()), "convolution mixes them")
    number = source.shape[1]
    if groups == 1:
        trace.couple(read, inputs)
    elif groups < number or (read is None and groups < result.shape[1]):
        # Each group keeps as many as the others: what stands in one place of each goes together.
        for labels in (read, inputs if bound["transposed"] else outputs):
            for part in labels.view(groups, -1)[1:] if labels is not None else ():
                trace.labels.couple(labels[: len(part)], part, MEET)
        if bound["transposed"]:
            trace.couple(read, inputs)
            outputs = None if outputs is None else outputs.repeat(groups)
        else:
            trace.couple(read, None if inputs is None else inputs.repeat(groups))
    else:
        # Each channel by itself, with one output or several.
        multiplier = result.shape[1] // number
        if bound["transposed"]:
            read = outputs = trace.couple(read, inputs)
        spread = None if read is None else read.repeat_interleave(multiplier)
        outputs = spread if bound["transposed"] else trace.couple(spread, outputs)
    if bound.get("bias") is not None:
        trace.couple(outputs, trace.known(bound["bias"])[0])
    trace.set(result, (image[0], outputs, *[None] * (result.dim() - 2)))


def multiply(trace: Trace, bound: dict[str, Any], result: Tensor) -> None:
    """Matrices (..., N, K) and (..., K, M): the dimension that is summed over meets itself."""
    left = bound.get("mat1", bound.get("batch1", bound.get("self")))
    right = bound.get("mat2", bound.get("batch2"))
    one, other = trace.known(left), trace.known(right)
    trace.couple(one[-1], other[-2])
    batch = [trace.couple(first, second) for first, second in zip(one[:-2], other[:-2], strict=True)]
    trace.set(result, (*batch, one[-2], other[-1]))
    if left is not bound["self"]:
        product = torch.empty_like(result)
        trace.set(product, trace.axes(result))
        pointwise(trace, [product, bound["self"]], result)


def batch_norm(trace: Trace, bound: dict[str, Any], inputs: list[Tensor], result: Tensor) -> None:
    """Each channel by itself, with a number in each of the norm's tensors."""
    source = bound["input"]
    axes = list(trace.known(source))
    if bound.get("training"):  # the statistics are those of what comes in
        trace.hold(source, [dim for dim in range(len(axes)) if dim != 1], "a norm takes its statistics over them")
    for tensor in inputs[1:]:
        axes[1] = trace.couple(axes[1], trace.known(tensor)[0])
    trace.set(result, tuple(axes))


def group_norm(trace: Trace, bound: dict[str, Any], result: Tensor) -> None:
    """Each channel by itself where each is a group, or the statistics are those of all; else they stay."""
    source, reason = bound["input"], "a GroupNorm takes its statistics over several of them"
    axes = list(trace.known(source))
    for tensor in (bound["weight"], bound["bias"]):
        if tensor is not None:
            axes[1] = trace.couple(axes[1], trace.known(tensor)[0])
    if bound["group"] == 1:
        trace.set(result, tuple(axes))
        trace.average(result, 1, reason)
    elif bound["group"] < source.shape[1] and axes[1] is not None:
        trace.labels.hold(axes[1], reason)
    trace.set(result, tuple(axes))


def layer_norm(trace: Trace, bound: dict[str, Any], inputs: list[Tensor], result: Tensor) -> None:
    """The statistics are those of all channels together, of those that are left once some have gone."""
    source, number = bound["input"], len(bound["normalized_shape"])
    reason = "a LayerNorm takes its statistics over them"
    axes = list(trace.known(source))
    if number == 1:
        for tensor in inputs[1:]:
            axes[-1] = trace.couple(axes[-1], trace.known(tensor)[0])
    else:
        for tensor in inputs:
            trace.hold(tensor, range(tensor.dim() - number, tensor.dim()), reason)
    trace.set(result, tuple(axes))
    if number == 1:
        trace.average(result, -1, reason)


def attend(trace: Trace, bound: dict[str, Any], result: Tensor) -> None:
    """Queries (B, H, L, E), keys (B, H, S, E) and values (B, H, S, V) to (B, H, L, V): heads meet, and queries keys."""
    query, key, value = (trace.known(bound[name]) for name in ("query", "key", "value"))
    batch = [
        trace.couple(trace.couple(*two), third) for *two, third in zip(query[:-2], key[:-2], value[:-2], strict=True)
    ]
    trace.couple(query[-1], key[-1])
    reason = "attention takes them together"
    for name in ("query", "key", "value"):
        trace.hold(bound[name], [-2], reason)
    mask = bound.get("attn_mask", bound.get("attn_bias"))
    if mask is not None:
        scores = result.new_empty((*result.shape[:-1], bound["key"].shape[-2]), device="meta")
        trace.set(scores, (*batch, None, None))
        summed = torch.empty_like(scores)
        pointwise(trace, [scores, mask], summed)
        batch = list(trace.known(summed)[:-2])
    trace.set(result, (*batch, query[-2], value[-1]))
