"""Masks: which weights are kept. Once pruned, a weight is exactly 0.0 after every step, in any loop."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

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
        # The same masks as what weights are multiplied by.
        self._factors: dict[str, Tensor] = {}

    def set(self, masks: dict[str, Tensor]) -> None:
        """Replace the masks of these layers, and set what they leave out to zero."""
        self.check(masks)
        self.restore(self.kept | masks)
        self.apply_to_weights()
        if not self.hold:
            self.restore({})

    def check(self, masks: dict[str, Tensor]) -> None:
        """Raise `ValueError` where one of these is no mask of a weight."""
        for name, mask in masks.items():
            if mask.shape != self.weights[name].shape or mask.dtype != torch.bool:
                raise ValueError(
                    f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}, not a boolean like the weight"
                )

    def restore(self, masks: dict[str, Tensor]) -> None:
        """Take these masks for all there are, under which the weights are as they should be already."""
        self.kept = masks
        # Operations that are fused over all layers want numbers of the weights' type. CPUs have none, and are as fast
        # with booleans, which take a quarter of the memory.
        self._factors = {
            name: mask if mask.device.type == "cpu" else mask.to(self.weights[name].dtype)
            for name, mask in masks.items()
        }

    def keep_indices(self, kept: dict[str, Tensor]) -> None:
        """Follow weights that have lost channels; see `KeptIndices` in channels/surgery.py."""
        masks = {}
        for name, mask in self.kept.items():
            left = kept.get(f"{name}.weight" if name else "weight")
            masks[name] = mask if left is None else mask.flatten()[left]
        self.restore(masks)

    def factor(self, name: str) -> Tensor | None:
        """The mask of a layer, of its weight's shape, as what a gradient is multiplied by; None where there is none."""
        return self._factors.get(name)

    @torch.no_grad()
    def apply_to_weights(self) -> None:
        """Set every pruned weight to zero."""
        _multiply([(self.weights[name], factor) for name, factor in self._factors.items()])

    def apply_to_gradients(self) -> None:
        """Set the gradient of every pruned weight to zero, so that neither clipping nor momentum sees it."""
        _multiply(
            [
                (self.weights[name].grad, factor)
                for name, factor in self._factors.items()
                if self.weights[name].grad is not None
            ]
        )

    @torch.no_grad()
    def apply_to_state(self, network: nn.Module) -> None:
        """Set the pruned weights of another network of the same kind to zero, as of a moving average of this one."""
        others = prunable_weights(network)
        for name, factor in self._factors.items():
            others[name].mul_(factor.to(others[name]))


#: So many booleans at a time are turned into numbers, which takes four times their memory.
PIECE = 2**22


@torch.no_grad()
def _multiply(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Multiply each tensor in place by its factor, of the same shape."""
    numbers: list[Tensor] = []
    factors: list[Tensor] = []
    for tensor, factor in pairs:
        rows = max(PIECE * len(tensor) // max(tensor.numel(), 1), 1) if factor.dtype == torch.bool else len(tensor)
        numbers += [tensor] if rows >= len(tensor) else tensor.detach().split(rows)
        factors += [factor] if rows >= len(tensor) else factor.split(rows)
    if numbers:
        torch._foreach_mul_(numbers, factors)


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


def zeros_of(network: nn.Module) -> Masks:
    """Return masks of the weights of a network that are not zero, where a layer has zeros; nobody holds them."""
    masks = Masks(network)
    zeros = {name: weight.detach() != 0 for name, weight in masks.weights.items()}
    masks.restore({name: mask for name, mask in zeros.items() if not mask.all()})
    return masks
