"""Gates on the outputs of batch norms: y = gate * BN(x)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.channels.scales import scaled
from secateur.channels.surgery import KeptIndices


class NormGates:
    """A gate, 1 at first, for each channel of each batch norm that has a scale.

    The network keeps its layers and its `state_dict`: between `attach` and `detach` hooks multiply what the norms put
    out. The gates, parameters (C,), are in `gates` by the norm's name, here alone.
    """

    def __init__(self, network: nn.Module) -> None:
        self.norms = {
            name: module
            for name, module in network.named_modules()
            # A subclass may do more than to normalise, as timm's, which have the activation in them.
            if type(module).forward is _BatchNorm.forward and module.weight is not None
        }
        self.gates = {name: nn.Parameter(torch.ones_like(norm.weight)) for name, norm in self.norms.items()}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        #: The norms' own weights and biases while the gates are folded into them for a time.
        self._own: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def attached(self) -> bool:
        """Whether the hooks are on the network."""
        return bool(self._handles)

    def attach(self) -> None:
        """Let the gates act."""
        self._handles = [norm.register_forward_hook(self._multiply(name)) for name, norm in self.norms.items()]

    def detach(self) -> None:
        """Leave the network as if there were no gates."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _multiply(self, name: str) -> Callable[..., Tensor]:
        def hook(_norm: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:  # (B, C, ...)
            return output * self.gates[name].view(-1, *[1] * (output.dim() - 2)).to(output.dtype)

        return hook

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the gates into the norms' weights and biases, and detach: the same function without gates."""
        for name, norm in self.norms.items():
            norm.weight.mul_(self.gates[name])
            norm.bias.mul_(self.gates[name])
        self.detach()

    @contextlib.contextmanager
    def folded(self) -> Iterator[None]:
        """Let the network be for a while what it would be if the gates were folded for good."""
        if not self.attached:  # it is so already
            yield
            return
        self._own = {
            name: (norm.weight.detach().clone(), norm.bias.detach().clone()) for name, norm in self.norms.items()
        }
        self.fold()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, (weight, bias) in self._own.items():
                    self.norms[name].weight.copy_(weight)
                    self.norms[name].bias.copy_(bias)
            self._own = {}
            self.attach()

    def state_dict(self) -> dict[str, Any]:
        """Return the gates, and whether they act."""
        return {"gates": {name: gate.data for name, gate in self.gates.items()}, "attached": self.attached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take these gates, which may be fewer."""
        for name, gate in state["gates"].items():
            self.gates[name].data = gate
        if state["attached"] and not self.attached:
            self.attach()

    def keep_indices(self, kept: KeptIndices) -> None:
        """Follow norms that have lost channels while the gates were folded."""
        for name, gate in self.gates.items():
            weight = f"{name}.weight" if name else "weight"
            if weight in kept.scales and name in self._own:
                self._own[name] = tuple(scaled(tensor, kept.scales[weight]) for tensor in self._own[name])
            if (places := kept.get(weight)) is not None:
                gate.data, gate.grad = gate.data[places], None
                if name in self._own:
                    self._own[name] = tuple(tensor[places] for tensor in self._own[name])
