"""Dynamic sparse training that grows where the gradient is large."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.parallel.collectives import sum_over_processes
from secateur.pruning.dynamic_sparse import END, DynamicSparse
from secateur.pruning.plan import Plan, Timeline
from secateur.pruning.saliency import Batch, ScoreMode, mean_gradients
from secateur.utils.errors import UserError


class RigL(ScoreMode, DynamicSparse):
    """The rigged lottery (Evci et al., 2020, "Rigging the Lottery", section 3, algorithm 1).

    Starts at the limit, at random, in Erdos-Renyi-Kernel proportions. Every `--update_steps` steps each layer drops
    the int(f(t) * n) smallest of its n weights, f(t) = `--pruning_rate` / 2 * (1 + cos(pi * t / T_end)), and grows as
    many, from zero, where |dL/dw| of the dense network is largest; from T_end, three quarters of training, on none.

    The paper grows by the gradient of the batch at hand: `--growth_batches training`, that which the last step was made
    with (the paper's program makes no step where it updates). The default is the mean over `--saliency_batches`
    batches, with norms that take the statistics of each batch: the program's dense gradients are of the graph that
    trains (google-research/rigl, `compute_gradients` in sparse_optimizers_base.py, `is_training` in its models).
    """

    update_steps: int = option(100, "optimizer steps between two updates, unless --prune_freq is given", low=1)
    growth_batches: str = option(
        "saliency",
        "gradient by which RigL regrows: the mean over --saliency_batches batches, or that of the last training step",
        choices=("saliency", "training"),
    )

    score_mode = "train"
    state_attrs = ("latest",)
    #: When each update comes, t / T_end.
    times: list[float] = []
    #: The dense gradients of the last training step.
    latest: dict[str, Tensor] | None = None

    @property
    def needs_dense_gradients(self) -> bool:
        """Whether the gradients of training are looked at."""
        return self.growth_batches == "training"

    @torch.no_grad()
    def after_backward(self, gradients: dict[str, Tensor]) -> None:
        """Keep the gradients; those that overflow, whose step float16 leaves out, are left out here too."""
        if self.latest is None:
            self.latest = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        for name, gradient in gradients.items():
            self.latest[name] = torch.where(gradient.isfinite(), gradient, self.latest[name])

    def growth_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|gradient|, of the weights that are zero too."""
        if self.growth_batches == "saliency":
            gradients = mean_gradients(self.network, self.loss, batches, self.weights, self.score_mode)
        elif self.latest is None:
            raise UserError("--growth_batches training: RigL has seen no gradient; call Pruner.after_backward")
        else:
            gradients = self.latest
            sum_over_processes(list(gradients.values()))
        return {name: gradient.abs() for name, gradient in gradients.items()}

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect: what scores are computed on, where training's gradients are."""
        idle = ("score_mode", "saliency_batches", "samples_per_class") if self.needs_dense_gradients else ()
        return super().idle_options() | dict.fromkeys(idle, "with --growth_batches training")

    def interval(self, timeline: Timeline) -> int:
        """Steps from one update to the next."""
        return super().interval(timeline) if "prune_freq" in self.given else self.update_steps

    def end(self, timeline: Timeline) -> int:
        """T_end."""
        return int(END * timeline.epochs * timeline.batches)

    def plan(self, timeline: Timeline) -> Plan:
        """The start before training, then the updates before T_end."""
        plan = super().plan(timeline)
        first = timeline.pre_epochs * timeline.batches
        self.times = [(step - first) / self.end(timeline) for step in plan.pruning_steps if step > first]
        return plan

    @property
    def drop_rate(self) -> float:
        """f(t) of the update that is being made."""
        return self.pruning_rate / 2 * (1 + math.cos(math.pi * self.times[self.updates - 1]))

    def dropped(self, number: int) -> int:
        """int(f(t) * n), as the authors' program has it."""
        return int(self.drop_rate * number)
