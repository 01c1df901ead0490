"""Pictures of a run, in output/."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from utils import drawing
from utils.hooks import hookimpl
from utils.measure.evaluation import Evaluation
from utils.measure.sparsity import shown_share
from utils.pruning.criterion import PruningEvent
from utils.run.run import Run


class Pictures:
    """Draws curves, confusion matrix, scores, weights and what is left of each layer."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.events: list[drawing.ScoreHistogram] = []
        self.evaluation: Evaluation | None = None

    @hookimpl
    def state_wanted(self, state: dict[str, Any]) -> None:
        """Keep what the curves and the distributions are drawn from."""
        state["Pictures"] = {"rows": self.rows, "events": [asdict(event) for event in self.events]}

    @hookimpl
    def run_resumed(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.rows = state["Pictures"]["rows"]
        self.events = [drawing.ScoreHistogram(**event) for event in state["Pictures"]["events"]]

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Keep the row; draw the weights where their turn has come."""
        self.rows.append(dict(figures))
        frequency = run.arguments.plot_weights_freq
        if frequency and figures["epoch"] % frequency == 0 and not run.arguments.disable_weightplot:
            self._weights(run, f"weights_epoch_{figures['epoch']}.png")

    @hookimpl
    def pruned(self, run: Run, event: PruningEvent) -> None:
        """Keep the distribution of the scores."""
        if not run.arguments.disable_saliency:
            parts = [event.weights, event] if event.weights else [event]
            self.events += [scores for part in parts if (scores := _binned(part))]

    @hookimpl
    def evaluated(self, evaluation: Evaluation) -> None:
        """Keep the last evaluation."""
        self.evaluation = evaluation

    @hookimpl
    def run_finished(self, run: Run) -> None:
        """Draw everything that was not switched off."""
        flags, output = run.arguments, run.folder.output
        name = f"{run.identity['model']} on {run.identity['data_set']}"
        if self.rows:
            drawing.curves(self.rows, run.data.held_out_name, name, output / "curves.png")
        if self.events:
            drawing.score_histograms(self.events, type(run.criterion).__name__, output / "saliency.png")
        if self.evaluation and self.evaluation.confusion is not None and not flags.disable_confusion:
            drawing.confusion(self.evaluation.confusion, name, output / "confusion.png")
        if not flags.disable_netplot and run.masks.weights:
            left = run.sparsity()
            drawing.layers_left(left.sizes, left.nonzero, name, output / "layers.png")
        if not flags.disable_weightplot and run.masks.weights:
            self._weights(run, "weights.png")

    def _weights(self, run: Run, file_name: str) -> None:
        weights = {name: weight.detach().float() for name, weight in run.masks.weights.items()}
        drawing.weight_maps(weights, run.identity["model"], run.folder.output / file_name)


def _binned(event: PruningEvent, bins: int = 60) -> drawing.ScoreHistogram | None:
    """Histogram the finite scores, of what was kept and what was pruned just now.

    Scores that may be negative are drawn on both sides of zero, the logarithm beginning at their median size.
    """
    scores = torch.cat([score.flatten() for score in event.scores.values()]).cpu()
    kept = torch.cat([mask.flatten() for mask in event.masks.values()]).cpu()
    scores, kept = scores[scores.isfinite()], kept[scores.isfinite()]
    signed = bool((scores < 0).any())
    usable = scores != 0
    at_zero, scores, kept = int((~usable).sum()), scores[usable], kept[usable]
    if not len(scores):
        return None
    logarithms = scores.sign() * (scores.abs() / scores.abs().median()).log1p() if signed else scores.log10()
    low, high = float(logarithms.min()), float(logarithms.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5

    def counts(part: Tensor) -> list[float]:
        return torch.histc(part, bins, low, high).tolist()

    return drawing.ScoreHistogram(
        at_zero=at_zero,
        unit=event.unit,
        scale="signed ln(1 + |score| / median)" if signed else "log10 of the score",
        title=f"epoch {event.epoch}, {event.unit} to {shown_share(event.sparsity)}",
        edges=torch.linspace(low, high, bins + 1).tolist(),
        kept=counts(logarithms[kept]),
        pruned=counts(logarithms[~kept]),
    )
