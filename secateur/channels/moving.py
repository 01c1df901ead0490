"""What operations do with channels that move numbers about: the same is done with their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from secateur.channels.labels import CUT, MEET, NONE, PICKED

if TYPE_CHECKING:
    from secateur.channels.tracing import Trace

#: These move numbers about, and the same is done with their labels.
MOVING = {
    "_unsafe_view", "alias", "as_strided", "channel_shuffle", "constant_pad_nd", "detach", "diagonal", "expand", "flip",
    "gather", "index", "index_select", "lift_fresh", "native_channel_shuffle", "permute", "pixel_shuffle",
    "pixel_unshuffle", "repeat", "roll", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose",
    "unbind", "unfold", "unsafe_split", "unsafe_split_with_sizes", "unsqueeze", "view",
}  # fmt: skip
#: These take numbers by their place, which is another one when channels before them have gone.
BY_NUMBER = {"gather", "index", "index_select", "roll", "unfold"}
#: These change the order of dimensions.
TURNING = {"permute", "t", "transpose"}
#: These see a tensor in other dimensions.
VIEWS = {"_unsafe_view", "as_strided", "view"}
#: These leave dimensions where they are.
IN_PLACE = {"slice", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "alias", "detach", "flip"}


def move(trace: Trace, name: str, func: Any, args: Any, kwargs: Any, results: list[Tensor]) -> None:
    """Do with the labels along each dimension what is done with the numbers."""
    source, *rest = args
    if name in TURNING:
        order = _order(name, source.dim(), *rest, **kwargs)
        trace.set(results[0], tuple(trace.known(source)[dim] for dim in order))
        return
    if name == "index_select" and id(rest[1]) in trace.numbers:
        _pick(trace, source, *rest, results[0])
        return
    if name == "constant_pad_nd":
        trace.set(results[0], tuple(_padded(trace, source, dim, rest[0]) for dim in range(source.dim())))
        return
    #: By result and dimension: what comes to lie along it.
    axes: list[list[list[Tensor]]] = [[[] for _ in result.shape] for result in results]
    for dim, labels in enumerate(trace.axes(source) or ()):
        if labels is None:
            continue
        spread = labels.view([-1 if other == dim else 1 for other in range(source.dim())]).expand(source.shape)
        moved = func(_laid_out(name, spread.to(source.device), source), *rest, **kwargs)
        if "channel_shuffle" in name and dim == source.dim() - 3:
            _lies_along(trace, labels.view(rest[0], -1), 1)
        pieces = []
        for number, piece in enumerate(moved if isinstance(moved, tuple | list) else [moved]):
            place = dim if piece.dim() == source.dim() else None
            if name in VIEWS and (divided := _divided(trace, piece.cpu())):
                for where, along in divided.items():
                    axes[number][where].append(along)
                continue
            stays = place if name in IN_PLACE or (place is not None and piece.shape[dim] == 1) else None
            where, along = _lies_along(trace, piece.cpu(), place, stays)
            if where is None:
                if len(labels) == 1:  # which nobody can follow
                    trace.labels.hold(labels, PICKED)
                continue
            pieces.append(along)
            axes[number][where].append(along)
        if len(labels) > 1 and name not in VIEWS and not trace.cuts_follow:
            _divide(trace, name, labels, pieces)
    for result, found in zip(results, axes, strict=True):
        trace.set(result, tuple(_together(trace, alongs) for alongs in found))


def _pick(trace: Trace, source: Tensor, dim: int, numbers: Tensor, result: Tensor) -> None:
    """Take channels by numbers that a buffer has, which are others once channels have gone: a shuffle, or a part."""
    axes, name = list(trace.known(source)), trace.numbers[id(numbers)]
    labels = axes[dim]
    if labels is not None:
        if name in trace.picks:  # they would have to be the same numbers of both
            trace.labels.hold(labels, PICKED)
            trace.labels.hold(trace.picks[name], PICKED)
        trace.picks.setdefault(name, labels)
        axes[dim] = labels[numbers.cpu()]
    trace.set(result, tuple(axes))


def _padded(trace: Trace, source: Tensor, dim: int, pads: list[int]) -> Tensor | None:
    """The labels along a dimension with constants, which have none, before and behind; pads begin with the last one."""
    labels, place = trace.known(source)[dim], 2 * (source.dim() - 1 - dim)
    before, behind = (*pads, *[0] * (2 * source.dim()))[place : place + 2]
    if labels is None or before == behind == 0:
        return labels
    if min(before, behind) < 0:
        trace.labels.hold(labels, CUT)
    return functional.pad(labels, (before, behind), value=NONE)


def _order(name: str, dims: int, *turned: Any, **named: Any) -> list[int]:
    """Which dimension comes to each place."""
    if name == "permute":
        return [dim % dims for dim in named.get("dims", turned[0] if turned else ())]
    order = list(range(dims))
    one, other = (0, dims - 1) if name == "t" else (*turned, *named.values())
    order[one], order[other] = order[other], order[one]
    return order


def _laid_out(name: str, spread: Tensor, source: Tensor) -> Tensor:
    """Labels in the order in memory that an operation expects: that of the tensor where it knows no other."""
    if name != "as_strided":
        return spread.contiguous()
    if source.storage_offset():
        raise RuntimeError("a part of a tensor that is seen by its place in memory")
    return torch.empty_strided(source.shape, source.stride(), dtype=spread.dtype).copy_(spread)


def _together(trace: Trace, alongs: list[Tensor]) -> Tensor | None:
    """What lies along a dimension along which several come to lie: each number goes with any of its labels."""
    return trace.labels.merge(alongs) if len(alongs) > 1 else alongs[0] if alongs else None


def _divided(trace: Trace, spread: Tensor) -> dict[int, Tensor] | None:
    """Labels along each dimension that labels come to lie along, which were one, as heads and what is in each.

    None where they lie along one, or can go along one only, as the sizes of all others are given.
    """
    varying = _varying(spread)
    free = [dim for dim in varying if _is_free(trace, dim)]
    if len(free) < 2 or bool((spread == NONE).any()):
        return None
    for dim in range(spread.dim()):
        if dim not in varying:
            spread = spread.narrow(dim, 0, 1)
    spread = spread.squeeze([dim for dim in range(spread.dim()) if dim not in varying])
    if len(spread.unique()) < spread.numel():
        return None
    found = dict(zip(varying, trace.labels.split(spread), strict=True))
    for dim in set(varying) - set(free):
        trace.labels.hold(found[dim], CUT)
    return found


def _is_free(trace: Trace, dim: int) -> bool:
    """Whether the size of a dimension is none that the network's text gives."""
    return trace.sizes is None or trace.sizes[dim] == -1 or type(trace.sizes[dim]) is not int


def _varying(spread: Tensor) -> list[int]:
    """The dimensions along which labels differ."""
    return [
        dim
        for dim, size in enumerate(spread.shape)
        if size > 1 and spread.numel() and bool((spread != spread.narrow(dim, 0, 1)).any())
    ]


def _lies_along(
    trace: Trace, spread: Tensor, prefer: int | None, stays: int | None = None
) -> tuple[int | None, Tensor]:
    """Find the dimension of a tensor along which its labels differ; returns it, and the labels along it.

    Where they differ along several, as channels do that are seen as groups, one is left, and those that stand in one
    place of it go together: the dimension whose size was not given, `prefer`, or the largest. Labels that do not differ
    at all are those along `stays`, if that is known.
    """
    varying = _varying(spread)
    if not varying:
        there = spread.flatten()[:1]
        return (None, there) if stays is None or not spread.numel() else (stays, there.expand(spread.shape[stays]))
    where = prefer if prefer in varying else max(varying, key=lambda dim: (spread.shape[dim], dim))
    if trace.sizes is not None and len(varying) > 1:
        free = [dim for dim in varying if _is_free(trace, dim)]
        where = free[0] if free else where
    for dim in range(spread.dim()):
        if dim not in varying:
            spread = spread.narrow(dim, 0, 1)
    rows = spread.movedim(where, -1).flatten(0, -2) if spread.dim() > 1 else spread.unsqueeze(0)
    for row in rows[1:]:
        trace.labels.couple(rows[0], row, MEET)
    return where, rows[0]


def _divide(trace: Trace, name: str, labels: Tensor, pieces: list[Tensor]) -> None:
    """Couple what stands in one place of parts of one size; hold what is cut otherwise, or taken by its number."""
    if not pieces:
        trace.labels.hold(labels, PICKED)
        return
    for piece in pieces:
        size = len(piece)
        if torch.equal(piece, labels) or size > len(labels):
            continue
        if name in BY_NUMBER:
            trace.labels.hold(labels, PICKED)
        elif size == len(labels):
            continue
        elif len(labels) % size == 0 and bool((labels.view(-1, size) == piece).all(1).any()):
            for part in labels.view(-1, size)[1:]:
                trace.labels.couple(labels[:size], part, CUT)
        elif name not in ("channel_shuffle", "native_channel_shuffle", "pixel_shuffle"):
            trace.labels.hold(labels, CUT)
