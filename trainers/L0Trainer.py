"""L0 regularisation: which units and channels are needed is learnt with the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.losses.L0CrossEntropy import L0CrossEntropy
from secateur.pruning.hard_concrete import HardConcreteGates, gated_layers
from secateur.runs.run import Run
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training.averaging import MovingAverage
from secateur.training.optimizers import build_optimizer
from secateur.utils.errors import UserError


class L0Trainer(DefaultTrainer):
    """Trains any network with hard concrete gates (Louizos et al., 2018, "... through L0 Regularization").

    Linear layers gate their inputs, convolutions their output channels; `--l0_reg` is the price of a weight. Image
    pixels have gates with `--outer_layer_pruning` only. Tested and kept is the network with the moving average of its
    parameters (`--beta_ema`) and the gates of test time folded into its weights: a plain network, in which the weights
    of closed gates are pruned.
    """

    beta_ema: float = option(
        0.999,
        "decay of the moving average of the parameters, which L0Trainer evaluates; 0: none",
        low=0,
        high=1,
        below=True,
        metavar="DECAY",
        general=True,
    )

    implies = {"loss": "L0CrossEntropy"}
    reads = ("outer_layer_pruning",)

    def __init__(self, run: Run) -> None:
        if not isinstance(run.loss, L0CrossEntropy):
            named = type(run.loss).__name__
            raise UserError(f"--train_scheme L0Trainer needs the penalty of --loss L0CrossEntropy, not {named}")
        if run.settings["keep_best"]:
            raise UserError("--train_scheme L0Trainer keeps a moving average of all steps: leave out --keep_best")
        if run.pruner.rewinds or run.pruner.reinitialise:
            raise UserError("--train_scheme L0Trainer cannot rewind or reinitialise: the gates would not fit")
        if run.criterion.unit == "units":
            who = type(run.criterion).__name__
            raise UserError(f"--train_scheme L0Trainer has gates on channels, and {who} removes channels: name one")
        names = gated_layers(run.network, run.example, run.pruner.outer_layer_pruning)
        if not names:
            raise UserError(
                "there is nothing to gate between the first and the last layer of this network; "
                "add --outer_layer_pruning to prune input pixels as well"
            )
        self.gates = HardConcreteGates(run.network, run.masks, names)
        run.loss.gates, run.loss.images = self.gates, len(run.data.train.images)
        super().__init__(run)
        # The penalty decays the weights in proportion to P(z > 0); nothing may do so a second time.
        run.loss.l2_reg, self.l2_reg = self.l2_reg, 0.0
        trained = [parameter for parameter in run.network.parameters() if parameter.requires_grad]
        self.average = MovingAverage([*trained, *self.gates.log_alpha.values()], self.beta_ema)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network's parameters and the gates', without weight decay."""
        parameters = [*self.network.parameters(), *self.gates.log_alpha.values()]
        return build_optimizer(self.optimizer_name, parameters, self.learning_rate, 0.0)

    def train(self) -> dict[str, object]:
        """Train with gates to the end; returns what goes to results.json."""
        self.gates.attach()
        return super().train()

    def train_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """One step on inputs (B, C, H, W) and targets (B,); then the gates are clamped and the average goes on."""
        super().train_batch(inputs, targets)
        self.gates.clamp()
        self.average.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what changes in training, with the gates and the moving average."""
        gates = {name: log_alpha.data for name, log_alpha in self.gates.log_alpha.items()}
        return {**super().state_dict(), "gates": gates, "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all that up again."""
        super().load_state_dict(state)
        for name, log_alpha in state["gates"].items():
            self.gates.log_alpha[name].data = log_alpha
        self.average.load_state_dict(state["average"])

    def conclude_epoch(self) -> None:
        """Evaluate, report and save the network as it would be if training ended now."""
        with self.as_finished():
            super().conclude_epoch()

    @contextlib.contextmanager
    def as_finished(self) -> Iterator[None]:
        """Let the network be for a while what it would be if training ended now."""
        if not self.gates.attached:  # it is so already
            yield
            return
        parameters = self.average.parameters
        before = [parameter.detach().clone() for parameter in parameters]
        self.finish()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, before)
            self.gates.attach()

    def finish(self) -> None:
        """Take the moving average and fold the gates into the weights, which leaves a plain network."""
        self.average.write()
        self.gates.fold()
        self.masks.apply_to_weights()  # the average holds weights from before they were pruned

    def figures(self) -> dict[str, object]:
        """Return the epoch's row of metrics.csv: `weight_sparsity` of test time, `expected_sparsity` of training."""
        return {**super().figures(), "expected_sparsity": self.gates.expected_sparsity()}

    def save(self, name: str, **facts: object) -> None:
        """Write a checkpoint of the network as it would be if training ended now."""
        with self.as_finished():
            super().save(name, **facts)

    def conclude(self) -> dict[str, object]:
        """Finish the network, prune the weights of closed gates, and evaluate it a last time."""
        self.finish()
        self.masks.set(self.gates.pruned())
        return super().conclude()

    def results(self) -> dict[str, object]:
        """Return the figures of the run, with the gates of each layer: all, those open, those expected to be."""
        return {
            **super().results(),
            "gates": {name: len(log_alpha) for name, log_alpha in self.gates.log_alpha.items()},
            "gates_open": self.gates.gates_open(),
            "gates_expected": self.gates.gates_expected(),
        }
