"""Pictures of a run, in output/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from secateur.config.option import Configurable, option
from secateur.hooks import hookimpl
from secateur.measuring.evaluation import Evaluation
from secateur.measuring.sparsity import shown_share
from secateur.pruning.plan import PruningStep
from secateur.runs.run import Run
from secateur.utils import drawing


class Pictures(Configurable):
    """Draws curves, confusion matrix, scores, weights and what is left of each layer."""

    title = "pictures and statistics"

    plot_weights_freq: int = option(
        0,
        "draw the weights so often; 0: only at the end",
        low=0,
        changes_numbers=False,
        only_training=True,
        metavar="EPOCHS",
    )
    disable_curves: bool = option(
        False,
        "no picture of loss, accuracy and sparsity over the epochs",
        changes_numbers=False,
        only_training=True,
        smoke=True,
    )
    disable_saliency: bool = option(
        False, "no picture of the scores at each pruning step", changes_numbers=False, only_training=True, smoke=True
    )
    disable_confusion: bool = option(False, "no picture of the confusion matrix", changes_numbers=False, smoke=True)
    disable_weightplot: bool = option(
        False, "no picture of the weights, and none of the masks in TensorBoard", changes_numbers=False, smoke=True
    )
    disable_netplot: bool = option(
        False,
        "no picture of what is left of each layer, and no network graph in TensorBoard",
        changes_numbers=False,
        smoke=True,
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rows: list[dict[str, float]] = []
        self.steps: list[drawing.ScoreHistogram] = []
        self.evaluation: Evaluation | None = None

    @hookimpl
    def on_save_state(self, state: dict[str, Any]) -> None:
        """Keep what the curves and the distributions are drawn from."""
        state["Pictures"] = {"rows": self.rows, "steps": [asdict(step) for step in self.steps]}

    @hookimpl
    def run_resumed(self, state: dict[str, Any]) -> None:
        """Take it up again."""
        self.rows = state["Pictures"]["rows"]
        self.steps = [drawing.ScoreHistogram(**step) for step in state["Pictures"]["steps"]]

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Keep the row; draw the weights where their turn has come."""
        self.rows.append(dict(figures))
        frequency = self.plot_weights_freq
        if frequency and figures["epoch"] % frequency == 0 and not self.disable_weightplot:
            self._weights(run, f"weights_epoch_{figures['epoch']}.png")

    @hookimpl
    def pruned(self, step: PruningStep) -> None:
        """Keep the distribution of the scores."""
        if not self.disable_saliency:
            parts = [step.weights, step] if step.weights else [step]
            self.steps += [scores for part in parts if (scores := _binned(part))]

    @hookimpl
    def evaluated(self, evaluation: Evaluation) -> None:
        """Keep the last evaluation."""
        self.evaluation = evaluation

    @hookimpl
    def run_finished(self, run: Run) -> None:
        """Draw everything that was not switched off."""
        output = run.folder.output
        name = f"{run.model_spec['model']} on {run.model_spec['data_set']}"
        if self.rows and not self.disable_curves:
            drawing.curves(self.rows, run.data.held_out_name, name, output / "curves.png")
        if self.steps:
            drawing.score_histograms(self.steps, type(run.criterion).__name__, output / "saliency.png")
        if self.evaluation and self.evaluation.confusion is not None and not self.disable_confusion:
            drawing.confusion(self.evaluation.confusion, name, output / "confusion.png")
        if not self.disable_netplot and run.masks.weights:
            left = run.sparsity()
            drawing.layers_left(left.sizes, left.nonzero, name, output / "layers.png")
        if not self.disable_weightplot and run.masks.weights:
            self._weights(run, "weights.png")

    def _weights(self, run: Run, file_name: str) -> None:
        weights = {name: weight.detach().float() for name, weight in run.masks.weights.items()}
        drawing.weight_maps(weights, run.model_spec["model"], run.folder.output / file_name)


def _binned(step: PruningStep, bins: int = 60) -> drawing.ScoreHistogram | None:
    """Histogram the finite scores, of what was kept and what was pruned just now.

    Scores that may be negative are drawn on both sides of zero, the logarithm beginning at their median size.
    """

    def shown() -> Iterator[tuple[Tensor, Tensor]]:
        """Layer by layer, so that of the scores of a large network there is no second copy."""
        for score, mask in zip(step.scores.values(), step.masks.values(), strict=True):
            is_shown = score.isfinite() & (score != 0)
            if is_shown.any():
                yield score[is_shown].cpu(), mask[is_shown].cpu()

    extremes = [scores.aminmax() for scores, _ in shown()]
    if not extremes:
        return None
    lowest, highest = torch.stack([low for low, _ in extremes]).min(), torch.stack([high for _, high in extremes]).max()
    signed = bool(lowest < 0)
    median = torch.cat([scores.abs() for scores, _ in shown()]).median() if signed else None

    def scaled(scores: Tensor) -> Tensor:
        return scores.sign() * (scores.abs() / median).log1p() if signed else scores.log10()

    low, high = float(scaled(lowest)), float(scaled(highest))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    kept, pruned = torch.zeros(2, bins, dtype=torch.float64)
    for scores, mask in shown():
        values = scaled(scores).clamp(low, high)  # which rounding may have left
        kept += torch.histc(values[mask], bins, low, high)
        pruned += torch.histc(values[~mask], bins, low, high)
    return drawing.ScoreHistogram(
        at_zero=sum(int((score == 0).count_nonzero()) for score in step.scores.values()),
        unit=step.unit,
        scale="signed ln(1 + |score| / median)" if signed else "log10 of the score",
        title=f"epoch {step.epoch}, {step.unit} to {shown_share(step.sparsity)}",
        edges=torch.linspace(low, high, bins + 1).tolist(),
        kept=kept.tolist(),
        pruned=pruned.tolist(),
    )
