"""Going back to an earlier state of training."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Snapshot:
    """The network and the optimizer as they were when this was made; without one, as if it had seen nothing."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        self.network = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.optimizer = copy.deepcopy(optimizer.state_dict()) if optimizer else None

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Put everything back: weights, biases, statistics of norms, and what the optimizer remembers."""
        network.load_state_dict(self.network)
        optimizer.state.clear()
        if self.optimizer:
            optimizer.load_state_dict(copy.deepcopy(self.optimizer))

    @torch.no_grad()
    def restore_weights(self, weights: dict[str, nn.Parameter]) -> None:
        """Put the prunable weights back, given by layer name, and nothing else."""
        for name, weight in weights.items():
            weight.copy_(self.network[f"{name}.weight" if name else "weight"])
