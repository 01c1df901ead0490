"""How much of a network is left."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from utils.pruning.layers import outputs_first, prunable_layers


@dataclass(frozen=True)
class Sparsity:
    """What is left of the prunable weights; a weight counts as gone when it is exactly zero, or was removed."""

    #: Weights of each prunable layer of the dense network, and those of them that are there and not zero.
    sizes: dict[str, int]
    nonzero: dict[str, int]
    #: Of every layer but the last: output channels or neurons of the dense network, and those that are there with at
    #: least one weight that is not zero.
    nodes: int
    nodes_alive: int
    #: Parameters of the whole dense network, biases and norms included, and those that are there and not zero.
    parameters: int
    parameters_kept: int

    @property
    def weight_sparsity(self) -> float:
        """The share of all prunable weights that is zero."""
        total = sum(self.sizes.values())
        return 1 - sum(self.nonzero.values()) / total if total else 0.0

    @property
    def node_sparsity(self) -> float:
        """The share of the hidden nodes whose weights are all zero."""
        return 1 - self.nodes_alive / self.nodes if self.nodes else 0.0

    @property
    def densities(self) -> dict[str, float]:
        """The share of each layer's weights that is not zero."""
        return {name: self.nonzero[name] / size for name, size in self.sizes.items()}


def shown_share(share: float, kind: str = "g") -> str:
    """Write a share in four digits (`kind` `%`: per cent in two decimals), or as many as tell it from 1."""
    digits = 2 if kind == "%" else 4
    text = f"{share:.{digits}{kind}}"
    while share < 1 and digits < 16 and text in ("1", f"{1:.{digits}%}"):
        digits += 1
        text = f"{share:.{digits}{kind}}"
    return text


@torch.no_grad()
def measure_sparsity(network: nn.Module, dense: Sparsity | None = None) -> Sparsity:
    """Count the weights of a network that are not zero; waits for the device once.

    `dense` is what was measured before channels were removed from it.
    """
    layers = prunable_layers(network)
    weights = {name: layer.weight for name, layer in layers.items()}
    counts = [weight.count_nonzero() for weight in weights.values()]
    hidden = [outputs_first(layer).flatten(1).any(1) for layer in layers.values()][:-1]
    totals = torch.stack([*counts, *(nodes.sum() for nodes in hidden)]).tolist() if layers else []
    sizes = {name: weight.numel() for name, weight in weights.items()}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Sparsity(
        sizes=dense.sizes if dense else sizes,
        nonzero=dict(zip(weights, totals, strict=False)),
        nodes=dense.nodes if dense else sum(len(nodes) for nodes in hidden),
        nodes_alive=sum(totals[len(counts) :]),
        parameters=dense.parameters if dense else parameters,
        parameters_kept=parameters - sum(sizes.values()) + sum(totals[: len(counts)]),
    )


def layer_outputs(network: nn.Module) -> dict[str, int]:
    """Return how many outputs each prunable layer has, neurons or channels, by name."""
    return {name: len(outputs_first(layer)) for name, layer in prunable_layers(network).items()}
