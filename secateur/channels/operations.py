"""What each operation of a network does with channels: it hands them on, couples those that meet, or mixes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from secateur.channels import moving, weighted
from secateur.channels.labels import CUT, NONE

if TYPE_CHECKING:
    from secateur.channels.tracing import Trace

#: Number by number, and not marked so by torch.
POINTWISE = {"_prelu_kernel", "_to_copy", "fill", "hardswish", "log_sigmoid_forward", "rrelu_with_noise", "zero"}
#: These look at the last dimensions alone, as many as their names say.
SPATIAL = re.compile(
    r"(_?adaptive_avg_pool|adaptive_max_pool|avg_pool|max_pool|mkldnn_adaptive_avg_pool|mkldnn_max_pool|_?upsample_"
    r"|reflection_pad|replication_pad|fractional_max_pool|grid_sampler_)\w*?([123])d"
)
#: These leave out dimensions.
REDUCING = {
    "all", "amax", "amin", "any", "argmax", "argmin", "linalg_vector_norm", "logsumexp", "max", "mean", "median", "min",
    "norm", "prod", "std", "std_mean", "sum", "var", "var_mean",
}  # fmt: skip
#: Of these such that do not care how many zeros there are, and those of which norms are made.
SUMS, STATISTICS = {"linalg_vector_norm", "sum"}, {"mean", "std", "std_mean", "var", "var_mean"}
#: Each number depends on all others along one dimension.
ALONG = {"_log_softmax", "_safe_softmax", "_softmax", "cummax", "cumprod", "cumsum", "logcumsumexp", "sort"}


def operation_name(func: Any) -> str:
    """An operation's name in ATen, the same for one in place."""
    name = func._schema.name.removeprefix("aten::")
    return name if name.startswith("__") else name.rstrip("_")


def follow(trace: Trace, func: Any, args: Any, kwargs: Any, inputs: list[Tensor], outputs: Any) -> None:
    """Label what an operation has put out, as far as anything that it read has labels."""
    name = operation_name(func)
    bound = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    results = outputs if isinstance(outputs, tuple | list) else [outputs]
    results = [value for value in results if isinstance(value, Tensor)]
    if name.startswith("new_"):
        return  # a constant, of a size that was given
    for result in results:
        if all(result is not tensor for tensor in inputs):  # as it is of an operation in place
            trace.set(result, (None,) * result.dim())
    labelled = any(labels is not None for tensor in inputs for labels in trace.axes(tensor) or ())
    if not labelled or not results:
        return
    if torch.Tag.pointwise in func.tags or name in POINTWISE or name.endswith("_like"):
        weighted.pointwise(trace, inputs, results[0])
    elif name in moving.MOVING:
        moving.move(trace, name, func, args, kwargs, results)
    elif name in ("cat", "stack"):
        _join(trace, bound["tensors"], bound.get("dim", 0), results[0], name == "stack")
    elif name == "convolution":
        weighted.convolve(trace, bound, results[0])
    elif name in ("mm", "bmm", "addmm", "baddbmm"):
        weighted.multiply(trace, bound, results[0])
    elif "batch_norm" in name:
        weighted.batch_norm(trace, bound, inputs, results[0])
    elif name == "native_group_norm":
        weighted.group_norm(trace, bound, results[0])
    elif name == "native_layer_norm":
        weighted.layer_norm(trace, bound, inputs, results[0])
    elif spatial := SPATIAL.match(name):
        source = inputs[0]
        dims = range(source.dim() - int(spatial[2]), source.dim())
        _pass_on(trace, source, results, dims, f"{name} mixes them")
    elif name in REDUCING and "dim" in bound:
        _reduce(trace, name, inputs[0], bound, results)
    elif name in ALONG:
        _pass_on(trace, inputs[0], results, [bound.get("dim", -1)], f"{name.strip('_')} takes them together")
    elif name.startswith("_scaled_dot_product") and "value" in bound:
        weighted.attend(trace, bound, results[0])
    elif name == "copy":
        _copy(trace, *args[:2])
    elif name == "glu":
        _gate(trace, inputs[0], bound.get("dim", -1), results[0])
    else:
        give_up(trace, func, inputs, results)


def give_up(trace: Trace, func: Any, inputs: list[Tensor], results: list[Tensor]) -> None:
    """Let all stay that an operation reads, and count nothing in what it puts out."""
    name = operation_name(func)
    reason = f"nothing is known of what {name} does with them"
    for tensor in inputs:
        trace.hold(tensor, range(tensor.dim()), reason)
    for result in results:
        trace.set(result, (None,) * result.dim())


def _join(trace: Trace, tensors: list[Tensor], dim: int, result: Tensor, stacked: bool) -> None:
    """One behind the other, or along a new dimension; the other dimensions meet."""
    dim %= result.dim()
    # Before tensors of many dimensions torch lets an empty one stand for nothing.
    tensors = [tensor for tensor in tensors if stacked or tensor.dim() == result.dim()]
    known = [list(trace.axes(tensor) or [None] * tensor.dim()) for tensor in tensors]
    if stacked:
        for axes in known:
            axes.insert(dim, None)
    found: list[Tensor | None] = []
    for place in range(result.dim()):
        along = [axes[place] for axes in known]
        if place == dim:
            sizes = [1 if stacked else tensor.shape[place] for tensor in tensors]
            parts = [
                torch.full((size,), NONE) if labels is None else labels
                for labels, size in zip(along, sizes, strict=True)
            ]
            found.append(torch.cat(parts) if any(labels is not None for labels in along) else None)
            continue
        labels = along[0]
        for others in along[1:]:
            labels = trace.couple(labels, others)
        found.append(labels)
    trace.set(result, tuple(found))


def _copy(trace: Trace, into: Tensor, source: Tensor) -> None:
    """Write into a tensor, or into a part of one that keeps the channels whole, as circular padding does."""
    whole = into if into._base is None or into._base.dim() != into.dim() else into._base
    axes = list(trace.known(whole))
    for behind, labels in enumerate(reversed(trace.known(source)), start=1):
        if labels is not None and whole.shape[-behind] == len(labels):
            axes[-behind] = labels if axes[-behind] is None else trace.couple(axes[-behind], labels)
        elif labels is not None:
            trace.labels.hold(labels, CUT)
    trace.set(whole, tuple(axes))
    trace.set(into, tuple(labels if into.shape[dim] == whole.shape[dim] else None for dim, labels in enumerate(axes)))


def _pass_on(trace: Trace, source: Tensor, results: list[Tensor], dims: Any, reason: str) -> None:
    """All but some dimensions are as they were; what the others count is held."""
    axes = list(trace.known(source))
    trace.hold(source, dims, reason)
    for dim in dims:
        axes[dim] = None
    for result in results:
        if result.dim() == len(axes):
            trace.set(result, tuple(axes))


def _reduce(trace: Trace, name: str, source: Tensor, bound: dict[str, Any], results: list[Tensor]) -> None:
    dims = bound["dim"]
    dims = list(range(source.dim())) if dims in (None, []) else [dims] if isinstance(dims, int) else dims
    dims = {dim % source.dim() for dim in dims}
    axes = trace.known(source)
    for dim in dims if name not in SUMS else ():
        reason = f"{name} takes them together"
        # Of one number there is no variance but the one that divides by how many there are.
        usual = name in STATISTICS and bound.get("correction", 0) == 0
        if usual and axes[dim] is not None and trace.is_norm_of(len(axes[dim])):
            trace.average(source, dim, reason)
        else:
            trace.hold(source, [dim], reason)
    keep = results[0].dim() == source.dim()
    left = [None if dim in dims else labels for dim, labels in enumerate(axes) if keep or dim not in dims]
    for result in results:
        trace.set(result, tuple(left))


def _gate(trace: Trace, source: Tensor, dim: int, result: Tensor) -> None:
    """One half of a dimension multiplies the other."""
    axes = list(trace.known(source))
    if axes[dim] is not None:
        one, other = axes[dim].chunk(2)
        axes[dim] = trace.couple(one, other)
    trace.set(result, tuple(axes))
