"""Floating-point operations of a forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from secateur.pruning.layers import prunable_weights
from secateur.utils.modes import evaluation_mode

#: A training step costs about three forward passes: one, and two for the gradients of activations and of weights.
TRAINING_FACTOR = 3


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one sample, a multiply-add counted as two.

    The formulas are those of torch.utils.flop_counter: convolutions, matrix products and attention count; norms,
    activations and pooling do not.
    """

    total: int
    #: Of each prunable weight, by layer name, wherever it is used.
    layers: dict[str, int]

    def effective(self, densities: dict[str, float]) -> int:
        """What is left where a layer costs its density times as much, as if zero weights were free."""
        saved = sum(flops * (1 - densities[name]) for name, flops in self.layers.items())
        return round(self.total - saved)


class _Counter(TorchDispatchMode):
    """Charges each operation to the weight that it uses.

    FlopCounterMode charges the module instead, which misses a weight that a parent's operation uses (attention).
    """

    def __init__(self, weights: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self.names = {weight.untyped_storage().data_ptr(): name for name, weight in weights.items()}
        self.total = 0
        self.layers = dict.fromkeys(weights, 0)

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function.overloadpacket):
            flops = formula(*args, **(kwargs or {}), out_val=result)
            self.total += flops
            storages = [arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, Tensor)]
            owner = next((self.names[storage] for storage in storages if storage in self.names), None)
            if owner is not None:
                self.layers[owner] += flops
        return result


@torch.no_grad()
def count_flops(network: nn.Module, example: Tensor) -> Flops:
    """Count the operations of a forward pass of `example`, one image (1, C, H, W), in evaluation mode."""
    fast = torch.backends.mha.get_fastpath_enabled()
    # Fused attention is one operation without a formula; plain products have one.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluation_mode(network), sdpa_kernel(SDPBackend.MATH), _Counter(prunable_weights(network)) as counter:
            network(example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return Flops(counter.total, counter.layers)
