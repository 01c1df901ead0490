"""Pruning of channels by gates that are trained for it."""

import argparse
from collections.abc import Iterable

import torch
from torch import Tensor

from criterions.SNAP import SNAP
from utils.errors import UserError
from utils.modes import evaluation_mode
from utils.parallel.collectives import shares, sum_over_processes
from utils.pruning.moments import Plan, Timing
from utils.pruning.norm_gates import NormGates
from utils.pruning.saliency import Batch
from utils.ranges import number


class GateDecorators(SNAP):
    """Gates on batch norms (You et al., 2019, "Gate Decorator: Global Filter Pruning", sections 3.1 to 3.3).

    score(c) = the sum over batches of |dL/dg * g| for the gate g in y = g * BN(x); channels of several norms are scored
    by the sum, channels without one stay. A twentieth of the limit goes after each epoch of Tick, of which there are
    `--tick_epochs`, then `--tock_epochs` of Tock, and so on to the limit; the rest of the epochs is fine-tuning.
    TickTock trains so. The statistics are those of the norms' running means, so that looking changes nothing.
    """

    implies = {"train_scheme": "TickTock"}
    schedule = "linear"
    steps = 20

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare how long Tick and Tock are."""
        for flag, lowest, default, what in (
            ("--tick_epochs", 1, 10, "epochs in a row in which gates alone are trained, with pruning after each"),
            ("--tock_epochs", 0, 9, "epochs in a row of training everything, between those of Tick"),
        ):
            help_text = f"{what} (default: %(default)s)"
            parser.add_argument(flag, type=number(int, lowest), default=default, metavar="N", help=help_text)

    def plan_of_axes(self, timing: Timing) -> Plan:
        """A sparsity of the schedule after each epoch of Tick; raises `UserError` where the epochs are too few."""
        flags = self.arguments
        if flags.prune_moment or self.in_levels:
            raise UserError("GateDecorators prunes after each Tick: leave out --prune_moment, --experiment multishot")
        if not NormGates(self.network).norms:
            raise UserError("GateDecorators has its gates on batch norms, and this network has none with a scale")
        sparsities = self.sparsities(timing)
        cycle = flags.tick_epochs + flags.tock_epochs
        ends = [event // flags.tick_epochs * cycle + event % flags.tick_epochs + 1 for event in range(len(sparsities))]
        if ends[-1] > timing.epochs:
            raise UserError(
                f"GateDecorators prunes {len(ends)} times, after each Tick, which with --tick_epochs "
                f"{flags.tick_epochs} and --tock_epochs {flags.tock_epochs} needs at least --epochs {ends[-1]}; there "
                f"are {timing.epochs} (or prune in fewer steps: --snip_steps)"
            )
        epochs = [timing.pre_epochs + end for end in ends]
        return Plan(timing.total, {epoch * timing.batches: [s] for epoch, s in zip(epochs, sparsities, strict=True)})

    def is_tick(self, epoch: int) -> bool:
        """Whether in this epoch, counted from 0 after `--pre_epochs`, gates are trained alone; else all is."""
        return epoch % (self.arguments.tick_epochs + self.arguments.tock_epochs) < self.arguments.tick_epochs

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient of the gate * gate|, for gates that are folded into the norms: what is left of them is 1."""
        gates = NormGates(self.network)
        sums = {name: torch.zeros_like(gate) for name, gate in gates.gates.items()}
        gates.attach()
        try:
            with evaluation_mode(self.network), torch.enable_grad():
                for inputs, targets, share in shares(batches):
                    value = share * self.saliency_loss(self.network(inputs), targets)
                    found = torch.autograd.grad(value, list(gates.gates.values()), materialize_grads=True)
                    sum_over_processes(found)
                    sums = {name: sums[name] + gradient.abs() for name, gradient in zip(sums, found, strict=True)}
        finally:
            gates.detach()
        scores = {}
        for root, group in self.groups.items():
            gated = [(sums[name].cpu(), own, ours) for name, own, ours in group.norms if name in sums]
            scores[root] = torch.zeros(group.channels) if gated else torch.full((group.channels,), torch.inf)
            for score, own, ours in gated:
                scores[root].index_add_(0, ours, score[own])
        return scores
