"""Masks: which weights are kept. Once pruned, a weight is exactly 0.0 after every step, in any loop."""

from __future__ import annotations

import contextlib
import json
import math
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from secateur.pruning.layers import prunable_weights


class Masks:
    """One boolean tensor for each prunable weight that was pruned, True where the weight is kept.

    `hold=False` (`--disable_masking`) sets pruned weights to zero when they are pruned and then forgets them.
    """

    def __init__(self, network: nn.Module, hold: bool = True) -> None:
        self.weights = prunable_weights(network)
        self.hold = hold
        self.kept: dict[str, Tensor] = {}
        # The same masks as numbers of the weights' type, which the fused operations need.
        self._factors: dict[str, Tensor] = {}

    def set(self, masks: dict[str, Tensor]) -> None:
        """Replace the masks of these layers, and set what they leave out to zero."""
        for name, mask in masks.items():
            if mask.shape != self.weights[name].shape or mask.dtype != torch.bool:
                raise ValueError(
                    f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}, not a boolean like the weight"
                )
        self.restore(self.kept | masks)
        self.apply_to_weights()
        if not self.hold:
            self.restore({})

    def restore(self, masks: dict[str, Tensor]) -> None:
        """Take these masks for all there are, under which the weights are as they should be already."""
        self.kept = masks
        self._factors = {name: mask.to(self.weights[name].dtype) for name, mask in masks.items()}

    def keep_indices(self, kept: dict[str, Tensor]) -> None:
        """Follow weights that have lost channels; see `KeptIndices` in channels/surgery.py."""
        masks = {}
        for name, mask in self.kept.items():
            left = kept.get(f"{name}.weight" if name else "weight")
            masks[name] = mask if left is None else mask.flatten()[left]
        self.restore(masks)

    def factor(self, name: str) -> Tensor | None:
        """The mask of a layer as numbers 0 and 1 of its weight's type and shape; None where nothing is masked."""
        return self._factors.get(name)

    @torch.no_grad()
    def apply_to_weights(self) -> None:
        """Set every pruned weight to zero."""
        if self._factors:
            torch._foreach_mul_([self.weights[name] for name in self._factors], list(self._factors.values()))

    def apply_to_gradients(self) -> None:
        """Set the gradient of every pruned weight to zero, so that neither clipping nor momentum sees it."""
        pairs = [
            (self.weights[name].grad, factor)
            for name, factor in self._factors.items()
            if self.weights[name].grad is not None
        ]
        if pairs:
            torch._foreach_mul_(*map(list, zip(*pairs, strict=True)))

    @torch.no_grad()
    def apply_to_state(self, network: nn.Module) -> None:
        """Set the pruned weights of another network of the same kind to zero, as of a moving average of this one."""
        others = prunable_weights(network)
        for name, factor in self._factors.items():
            others[name].mul_(factor.to(others[name]))


@cache
def _all_holdings() -> weakref.WeakSet[Holding]:
    """The holdings there are; torch calls them after the steps of all optimizers, whoever has made or wrapped them."""
    holdings: weakref.WeakSet[Holding] = weakref.WeakSet()

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for holding in list(holdings):
            if holding.is_of(optimizer):
                holding.step_finished()

    # Once for the process: torch goes through its hooks while it calls them, so that none can be removed then.
    register_optimizer_step_post_hook(after_step)
    return holdings


class Holding:
    """Holds masks by hooks, from when it is made until `detach`, as long as there are the weights.

    The gradient of a pruned weight is zero when it arrives, so that clipping, momentum and all-reduce see it so; the
    weight itself is zero after each step of an optimizer that holds it.

    Parameters: `optimizer`, the only one whose steps count, where it is known; `on_gradient(layer, gradient)`, called
    with dense gradients; `on_step`, called after each step, when pruned weights are zero again.
    """

    def __init__(
        self,
        masks: Masks,
        optimizer: torch.optim.Optimizer | None = None,
        on_gradient: Callable[[str, Tensor], None] | None = None,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        self.masks, self.optimizer = masks, optimizer
        self.on_gradient, self.on_step = on_gradient, on_step
        self._looks_on = False
        # These keep this alive, as long as there are the weights.
        self._handles = [
            weight.register_hook(self._gradient_hook(name))
            for name, weight in masks.weights.items()
            if weight.requires_grad
        ]
        _all_holdings().add(self)

    def detach(self) -> None:
        """Let go: what is zero stays zero until somebody changes it."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        _all_holdings().discard(self)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let gradients pass as they are for a while, as for the scores of pruned weights."""
        before, self._looks_on = self._looks_on, True
        try:
            yield
        finally:
            self._looks_on = before

    def _gradient_hook(self, name: str) -> Callable[[Tensor], Tensor | None]:
        def hook(gradient: Tensor) -> Tensor | None:
            if self._looks_on:
                return None
            if self.on_gradient is not None:
                self.on_gradient(name, gradient)
            factor = self.masks.factor(name)
            return None if factor is None else gradient * factor

        return hook

    def is_of(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether an optimizer trains the weights."""
        if self.optimizer is not None:
            return optimizer is self.optimizer
        ours = {id(weight) for weight in self.masks.weights.values()}
        return any(id(parameter) in ours for group in optimizer.param_groups for parameter in group["params"])

    def step_finished(self) -> None:
        """Set pruned weights to zero again, and tell that the optimizer has made a step."""
        self.masks.apply_to_weights()
        if self.on_step is not None:
            self.on_step()


def take_over(masks: Masks) -> None:
    """Begin with the masks that hold on these weights already, which then are held by nobody."""
    ours = {id(weight) for weight in masks.weights.values()}
    for holding in list(_all_holdings()):
        if any(id(weight) in ours for weight in holding.masks.weights.values()):
            masks.restore({**masks.kept, **holding.masks.kept})
            holding.detach()


def held_masks(network: nn.Module) -> Masks | None:
    """Return the masks that hold on a network's weights; None where none do."""
    ours = {id(weight) for weight in prunable_weights(network).values()}
    for holding in _all_holdings():
        if any(id(weight) in ours for weight in holding.masks.weights.values()):
            return holding.masks
    return None


# Tensors that are mostly zeros, and masks, in as few bytes as they need: bits, and the values where the bits are set.
# What is read again is equal to what was written; a zero may have lost its sign.

#: A tensor is packed where that saves so many bytes at least.
WORTHWHILE = 4096
#: Under which name the record stands in the head of a file.
RECORD = "packed"


def pack(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors to write instead, and what goes to the head of their file; nothing where none is packed."""
    written: dict[str, Tensor] = {}
    record: dict[str, dict[str, Any]] = {}
    patterns: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
    masks = {name: tensor for name, tensor in tensors.items() if tensor.dtype == torch.bool}
    for name, tensor in [*masks.items(), *((name, tensor) for name, tensor in tensors.items() if name not in masks)]:
        if tensor.numel() * tensor.element_size() < WORTHWHILE:
            written[name] = tensor
        elif name in masks:
            bits = _add_bits(name, tensor, written, patterns)
            record[name] = {"shape": list(tensor.shape), "bits": bits}
        elif not (tensor.is_floating_point() and _pack_numbers(name, tensor, written, record, patterns)):
            written[name] = tensor
    return written, {RECORD: json.dumps(record)} if record else {}


def _add_bits(name: str, mask: Tensor, written: dict[str, Tensor], patterns: dict[Any, Any]) -> str:
    key = f"{name}/bits"
    written[key] = torch.from_numpy(np.packbits(mask.numpy()))
    patterns.setdefault(tuple(mask.shape), []).append((key, mask))
    return key


def _pack_numbers(
    name: str, tensor: Tensor, written: dict[str, Tensor], record: dict[str, Any], patterns: dict[Any, Any]
) -> bool:
    """Pack a tensor if that makes it smaller by enough."""
    there, shape = tensor != 0, tuple(tensor.shape)
    number = int(there.count_nonzero())
    size = tensor.element_size()
    fitting = [(key, mask) for key, mask in patterns.get(shape, ()) if not (there & ~mask).any()]
    key, mask = min(fitting, key=lambda one: int(one[1].count_nonzero()), default=("", there))
    shared = bool(fitting)
    cost = int(mask.count_nonzero()) * size if shared else number * size + tensor.numel() // 8
    if tensor.numel() * size - cost < WORTHWHILE:
        return False
    if not shared:
        key = _add_bits(name, there, written, patterns)
    written[f"{name}/values"] = tensor.flatten()[mask.flatten()]
    record[name] = {"shape": list(shape), "bits": key, "values": f"{name}/values"}
    return True


def unpack(tensors: dict[str, Tensor], head: dict[str, str] | None) -> dict[str, Tensor]:
    """Return the tensors that were given to `pack`, from what was written and the head of its file.

    Raises `ValueError` where the two do not fit together.
    """
    record = json.loads((head or {}).get(RECORD, "{}"))
    if not record:
        return tensors
    found, taken = dict(tensors), set()
    masks: dict[Any, Tensor] = {}
    try:
        for name, entry in record.items():
            shape, key = tuple(entry["shape"]), entry["bits"]
            if (key, shape) not in masks:
                masks[key, shape] = _mask_of(tensors[key], shape)
            mask = masks[key, shape]
            taken |= {key, entry.get("values", key)}
            if "values" in entry:
                values = tensors[entry["values"]]
                if values.dim() != 1 or len(values) != int(mask.count_nonzero()):
                    raise ValueError(f"{name} has {values.numel()} values for {int(mask.count_nonzero())} places")
                found[name] = torch.zeros(shape, dtype=values.dtype)
                found[name][mask] = values
            else:
                found[name] = mask.clone()
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its record of packed tensors does not fit: {error}") from error
    return {name: tensor for name, tensor in found.items() if name not in taken or name in record}


def _mask_of(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    number = math.prod(shape)
    if bits.dtype != torch.uint8 or bits.dim() != 1 or len(bits) != -(-number // 8) or min(shape, default=1) < 0:
        raise ValueError(f"{bits.numel()} bytes of bits are not those of a mask of shape {shape}")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=number).astype(bool)).view(shape)
