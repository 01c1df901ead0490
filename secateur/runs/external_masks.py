"""Weights that torch.nn.utils.prune has pruned: it keeps them as two tensors, of which the weight is the product."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

ORIGINAL, MASK = "_orig", "_mask"
#: The order in which the layers of torch have what is pruned; pruning moves it behind the rest of its layer.
FIRST = ("weight", "bias")


def join_masks(state: Mapping[str, Tensor], own: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Replace `X_orig` and `X_mask` of equal shapes by `X`; returns all tensors, and the masks, by these names.

    Nothing is multiplied yet: `X` has the original values, at the place where its layer has it before pruning. One
    without the other is left as it is. So is everything where a name of the network (`own`) ends in `_orig`: the
    network is pruned itself.
    """
    if any(name.endswith(ORIGINAL) for name in own):
        return dict(state), {}
    names = [name.removesuffix(ORIGINAL) for name in state if name.endswith(ORIGINAL)]
    masks = {name: state[name + MASK] for name in names if _is_pair(state, name)}
    originals = {name + ORIGINAL: name for name in masks}
    halves = {name + MASK for name in masks}
    joined = {originals.get(name, name): tensor for name, tensor in state.items() if name not in halves}
    return _as_before_pruning(joined, masks), masks


def _is_pair(state: Mapping[str, Tensor], name: str) -> bool:
    """Whether both halves of a tensor are there, and not the tensor itself too."""
    mask = state.get(name + MASK)
    return name not in state and mask is not None and mask.shape == state[name + ORIGINAL].shape


def _as_before_pruning(state: Mapping[str, Tensor], pruned: Iterable[str]) -> dict[str, Tensor]:
    """Put the pruned tensors of each layer back before what pruning has left in front of them."""
    layers = {_layer(name) for name in pruned}
    places: dict[str, int] = {}
    for name in state:
        places.setdefault(_layer(name), len(places))

    def place(name: str) -> tuple[int, int]:
        layer, _, kind = name.rpartition(".")
        return places[layer], FIRST.index(kind) if layer in layers and kind in FIRST else len(FIRST)

    return {name: state[name] for name in sorted(state, key=place)} if layers else dict(state)


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def masked(original: Tensor, mask: Tensor) -> Tensor:
    """The product, of the original's type and shape, with plain zeros where the mask is zero.

    In double precision it is exact, and defined for masks of every type. Raises `RuntimeError` where a tensor has none.
    """
    mask = mask.double()
    return (original.double() * mask).masked_fill(mask == 0, 0).to(original.dtype)
