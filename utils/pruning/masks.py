"""Masks: which weights are kept. Once pruned, a weight is exactly 0.0 after every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from utils.pruning.layers import prunable_weights


class Masks:
    """One boolean tensor for each prunable weight that was pruned, True where the weight is kept.

    `hold=False` (`--disable_masking`) sets pruned weights to zero when they are pruned and then forgets them.
    """

    def __init__(self, network: nn.Module, hold: bool = True) -> None:
        self.weights = prunable_weights(network)
        self.hold = hold
        self.kept: dict[str, Tensor] = {}
        # The same masks as numbers of the weights' type, which the fused operations need.
        self._factors: list[Tensor] = []

    def set(self, masks: dict[str, Tensor]) -> None:
        """Replace the masks of these layers, and set what they leave out to zero."""
        for name, mask in masks.items():
            if mask.shape != self.weights[name].shape or mask.dtype != torch.bool:
                raise ValueError(
                    f"the mask of {name} is {mask.dtype} {tuple(mask.shape)}, not a boolean like the weight"
                )
        self._hold(self.kept | masks)
        self.apply_to_weights()
        if not self.hold:
            self.kept, self._factors = {}, []

    def restore(self, masks: dict[str, Tensor]) -> None:
        """Take these masks for all there are, under which the weights are as they should be already."""
        self._hold(masks)

    def cut(self, cuts: dict[str, Tensor]) -> None:
        """Follow weights that have lost channels; see `Cuts` in utils/pruning/surgery.py."""
        self._hold(
            {
                name: mask.flatten()[cuts[f"{name}.weight"]] if f"{name}.weight" in cuts else mask
                for name, mask in self.kept.items()
            }
        )

    def _hold(self, masks: dict[str, Tensor]) -> None:
        self.kept = masks
        self._factors = [mask.to(self.weights[name].dtype) for name, mask in masks.items()]

    def apply_to_weights(self) -> None:
        """Set every pruned weight to zero."""
        if self._factors:
            with torch.no_grad():
                torch._foreach_mul_([self.weights[name] for name in self.kept], self._factors)

    def apply_to_gradients(self) -> None:
        """Set the gradient of every pruned weight to zero, so that neither clipping nor momentum sees it."""
        pairs = [
            (self.weights[name].grad, factor)
            for name, factor in zip(self.kept, self._factors, strict=True)
            if self.weights[name].grad is not None
        ]
        if pairs:
            torch._foreach_mul_(*map(list, zip(*pairs, strict=True)))
