"""Pruning of channels by gates that are trained for it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.channels.norm_gates import NormGates
from secateur.config.option import option
from secateur.criterions.SNAP import SNAP
from secateur.pruning.plan import Plan, Timeline
from secateur.pruning.saliency import Batch, batch_gradients, mean_over_batches
from secateur.utils.errors import UserError


class GateDecorators(SNAP):
    """Gates on batch norms (You et al., 2019, "Gate Decorator: Global Filter Pruning", sections 3.1 to 3.3).

    score(c) = the mean over batches of |dL/dg * g| for the gate g in y = g * BN(x); channels of several norms have the
    sum, channels without one stay. A twentieth of the limit goes after each epoch of Tick, of which there are
    `--tick_epochs`, then `--tock_epochs` of Tock, and so on to the limit; the rest of the epochs is fine-tuning.
    TickTock trains so. Norms take the statistics of each batch, as in the authors' program, and their running ones do
    not change; `--score_mode eval` takes those. The program adds scores up over the epoch of Tick, while the gates are
    trained, and leaves each layer a tenth of its channels, not one.
    """

    implies = {"train_scheme": "TickTock"}
    score_mode = "train"
    schedule = "linear"
    snip_steps = 20

    tick_epochs: int = option(
        10, "consecutive epochs in which only the gates are trained, each followed by pruning", low=1, smoke=1
    )
    tock_epochs: int = option(9, "consecutive epochs of training everything, between those of Tick", low=0, smoke=1)

    def plan_of_axes(self, timeline: Timeline) -> Plan:
        """A sparsity of the schedule after each epoch of Tick; raises `UserError` where the epochs are too few."""
        if timeline.at_once:
            return super().plan_of_axes(timeline)
        if "timing" in self.given or self.in_levels:
            raise UserError("GateDecorators prunes after each Tick: leave out --prune_moment, --experiment multishot")
        if not NormGates(self.network).norms:
            raise UserError("GateDecorators has its gates on batch norms, and this network has none with a scale")
        sparsities = self.sparsities(timeline)
        cycle = self.tick_epochs + self.tock_epochs
        ends = [step // self.tick_epochs * cycle + step % self.tick_epochs + 1 for step in range(len(sparsities))]
        if ends[-1] > timeline.epochs:
            raise UserError(
                f"GateDecorators prunes {len(ends)} times, after each Tick, which with --tick_epochs "
                f"{self.tick_epochs} and --tock_epochs {self.tock_epochs} needs at least --epochs {ends[-1]}; there "
                f"are {timeline.epochs} (or prune in fewer steps: --snip_steps)"
            )
        epochs = [timeline.pre_epochs + end for end in ends]
        return Plan(
            timeline.total, {epoch * timeline.batches: [s] for epoch, s in zip(epochs, sparsities, strict=True)}
        )

    def is_tick(self, epoch: int) -> bool:
        """Whether in this epoch, counted from 0 after `--pre_epochs`, gates are trained alone; else all is."""
        return epoch % (self.tick_epochs + self.tock_epochs) < self.tick_epochs

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient of the gate * gate|, for gates that are folded into the norms: what is left of them is 1."""
        gates = NormGates(self.network)
        gates.attach()
        try:
            found = batch_gradients(self.network, self.measured_loss, batches, gates.gates, self.score_mode)
            means = mean_over_batches(
                {name: gradient.abs() for name, gradient in gradients.items()} for gradients in found
            )
        finally:
            gates.detach()
        scores = {}
        for root, group in self.groups.items():
            gated = [(means[name].cpu(), own, ours) for name, own, ours in group.norms if name in means]
            scores[root] = torch.zeros(group.channels) if gated else torch.full((group.channels,), torch.inf)
            for score, own, ours in gated:
                scores[root].index_add_(0, ours, score[own].float())
        return scores
