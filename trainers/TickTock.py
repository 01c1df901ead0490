"""Training of gates and of everything in turn, while channels are removed."""

from typing import Any

import torch
from torch import Tensor

from secateur.channels.norm_gates import NormGates
from secateur.config.option import option
from secateur.criterions.GateDecorators import GateDecorators
from secateur.pruning.layers import execution_order
from secateur.pruning.plan import PruningStep
from secateur.runs.run import Run
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training.optimizers import build_optimizer, follow_removals
from secateur.utils.errors import UserError


class TickTock(DefaultTrainer):
    """Tick-Tock (You et al., 2019, "Gate Decorator: Global Filter Pruning", section 3.3).

    Every batch norm has gates, y = g * BN(x). In Tick only the gates and the last layer are trained; after each of its
    epochs the criterion GateDecorators prunes. In Tock everything is, with `--gate_penalty` * sum |g| added to the
    loss. Once the limit is reached, the gates are folded into the norms and the rest of the epochs is fine-tuning.

    The gates start from 1. The authors move the norms' scales into them, which gives the same function and the same
    scores, but divides biases by scales that may be near zero; SNIP-it's program draws them from N(0, 1), which
    destroys a trained network, and its penalty has no gradient. The factor of the penalty is the authors' for VGG-16.
    """

    implies = {"prune_criterion": "GateDecorators"}

    gate_penalty: float = option(1e-3, "penalty on the sum of |gate| in Tock", low=0, metavar="FACTOR")

    def __init__(self, run: Run) -> None:
        if not isinstance(run.criterion, GateDecorators):
            named = type(run.criterion).__name__
            raise UserError(f"--train_scheme TickTock prunes by the criterion GateDecorators, not {named}")
        if run.pruner.enable_rewinding or run.pruner.reinitialise:
            raise UserError("--train_scheme TickTock cannot rewind or reinitialise: the gates would not fit")
        if run.settings["optimizer"].upper() == "LBFGS":
            raise UserError("--optimizer LBFGS trains all parameters or none, but Tick freezes some: choose another")
        self.gates = NormGates(run.network)
        head = run.network.get_submodule(execution_order(run.network, run.example)[-1])
        self.trained_in_tick = [parameter for parameter in head.parameters() if parameter.requires_grad]
        chosen = set(self.trained_in_tick)
        self.rests_in_tick = [
            parameter for parameter in run.network.parameters() if parameter.requires_grad and parameter not in chosen
        ]
        #: Whether the gates of this epoch have a price.
        self.is_tock = False
        super().__init__(run)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network's parameters and the gates."""
        optimizer = build_optimizer(self.optimizer_name, self.rests_in_tick, self.learning_rate, self.l2_reg)
        # In groups of their own: torch's fused SGD wants all of a group to have momentum, or none.
        for parameters in (self.trained_in_tick, list(self.gates.gates.values())):
            optimizer.add_param_group({"params": parameters})
        return optimizer

    def train_epoch(self) -> None:
        """One epoch of Tick or of Tock, or of neither: before the first and after the last pruning."""
        epoch = self.epoch - self.pre_epochs
        gated = not self.pruner.finished and epoch >= 0
        is_tick = gated and self.criterion.is_tick(epoch)
        self.is_tock = gated and not is_tick
        if gated and not self.gates.attached:
            self.gates.attach()
            self.forget_compiled()
        resting = self.rests_in_tick if is_tick else []
        for parameter in resting:
            parameter.requires_grad_(False)  # without a gradient the optimizer leaves it as it is
        try:
            super().train_epoch()
        finally:
            for parameter in resting:
                parameter.requires_grad_(True)

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, in Tock with the penalty of the gates, and the logits (B, K)."""
        loss, logits = super().compute_loss(inputs, targets)
        if self.is_tock:
            loss = loss + self.gate_penalty * sum(gate.abs().sum() for gate in self.gates.gates.values())
        return loss, logits

    def prune_as_planned(self) -> None:
        """Prune with the gates folded into the norms; after the last time they stay so."""
        with self.gates.folded():
            super().prune_as_planned()
        if self.gates.attached and self.pruner.finished:
            self.gates.fold()
            self.forget_compiled()

    def forget_compiled(self) -> None:
        """Have the network compiled anew where gates have come or gone, which compiled code does not look for."""
        if self.run.machine.compile:
            torch.compiler.reset()

    def pruned(self, step: PruningStep) -> None:
        """Let the gates, and what the optimizer keeps of them, follow the channels that were removed."""
        self.gates.keep_indices(step.kept_indices)
        gates = {f"{name}.weight": gate for name, gate in self.gates.gates.items()}
        follow_removals(
            self.optimizer, gates, {name: step.kept_indices[name] for name in gates if name in step.kept_indices}
        )
        super().pruned(step)

    def state_dict(self) -> dict[str, Any]:
        """Return what changes in training, with the gates."""
        return {**super().state_dict(), "gates": self.gates.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all that up again."""
        super().load_state_dict(state)
        self.gates.load_state_dict(state["gates"])

    def save(self, name: str, **facts: object) -> None:
        """Write a checkpoint of the network with its gates folded: a plain one."""
        with self.gates.folded():
            super().save(name, **facts)

    def conclude(self) -> dict[str, object]:
        """Fold the gates where pruning did not get to its end, and evaluate the network a last time."""
        if self.gates.attached:
            self.gates.fold()
        return super().conclude()
