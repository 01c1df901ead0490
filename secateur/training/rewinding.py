"""Going back to an earlier state of training."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from secateur.channels.scales import scaled
from secateur.training.optimizers import prune_optimizer_state
from secateur.training.state_checks import check_like, check_names, check_shapes
from secateur.utils.errors import UserError
from secateur.utils.stateful import load_own

if TYPE_CHECKING:
    from secateur.channels.coupling import KeptIndices
    from secateur.pruning.pruner import Pruner


def check_rewinding(pruner: Pruner) -> None:
    """Raise `UserError` where a pruner that rewinds would go back to a step after its first pruning step."""
    first = min(pruner.pruning_steps, default=None)
    if first is not None and pruner.rewind_step > first:
        epoch = first // pruner.timeline.batches
        raise UserError(f"--rewind_to {pruner.rewind_to} is after the first pruning step, which comes at epoch {epoch}")


class Snapshot:
    """The network and the optimizer as they were when this was made; without one, as if it had seen nothing."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        self.network = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.optimizer = copy.deepcopy(optimizer.state_dict()) if optimizer else None

    def state_dict(self) -> dict[str, Any]:
        """Return all that it holds."""
        return {"network": self.network, "optimizer": self.optimizer}

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> Snapshot:
        """Make one of what `state_dict` has returned."""
        snapshot = cls.__new__(cls)
        snapshot.network, snapshot.optimizer = state["network"], state["optimizer"]
        return snapshot

    def check(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Raise `ValueError` where this, read from a file, is not of this network and optimizer, as both were read."""
        check_names(self.network, network.state_dict(), "snapshot.network")
        check_shapes(self.network, network.state_dict(), "snapshot.network")
        if self.optimizer is None:
            return
        now = optimizer.state_dict()
        check_like(self.optimizer, {**now, "state": {}}, "snapshot.optimizer")
        if [group["params"] for group in self.optimizer["param_groups"]] != [
            one["params"] for one in now["param_groups"]
        ]:
            raise ValueError("snapshot.optimizer has other parameters than the optimizer")
        for number in self.optimizer["state"].keys() & now["state"].keys():
            check_shapes(self.optimizer["state"][number], now["state"][number], f"snapshot.optimizer.state.{number}")

    def keep_indices(self, kept: KeptIndices, names: list[str]) -> None:
        """Follow a network that has lost channels; `names` are those of the optimizer's parameters, in its order."""
        for name, scale in kept.scales.items():
            self.network[name] = scaled(self.network[name], scale)
        for name, places in kept.items():
            self.network[name] = self.network[name].flatten()[places]
        for number, moments in (self.optimizer or {"state": {}})["state"].items():
            if names[number] in kept:
                prune_optimizer_state(moments, kept[names[number]])

    def forget_optimizer(self) -> None:
        """Be from now on as if the optimizer had seen nothing."""
        self.optimizer = None

    def restore(self, network: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        """Put everything back: weights, biases, statistics of norms, and the state of the optimizer."""
        load_own(network, self.network)
        if optimizer is None:
            return
        optimizer.state.clear()
        if self.optimizer:
            optimizer.load_state_dict(copy.deepcopy(self.optimizer))

    @torch.no_grad()
    def restore_weights(self, weights: dict[str, nn.Parameter]) -> None:
        """Put the prunable weights back, given by layer name, and nothing else."""
        for name, weight in weights.items():
            weight.copy_(self.network[f"{name}.weight" if name else "weight"])
