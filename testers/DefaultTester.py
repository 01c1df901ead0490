"""Accuracy on the test set."""

from __future__ import annotations

import time

from utils.measure.evaluation import evaluate
from utils.measure.figures import network_figures
from utils.run.run import Run


class DefaultTester:
    """Loss, accuracy and confusion matrix of a checkpoint over the whole test set."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def evaluate(self) -> dict[str, object]:
        """Measure, and return what goes to results.json."""
        run = self.run
        start = time.perf_counter()
        judged = evaluate(run.network, run.loss, run.data.held_out, run.data.num_classes, run.precision.autocast)
        seconds = time.perf_counter() - start
        run.hooks.evaluated(run=run, evaluation=judged)
        results = network_figures(run, judged)
        if judged.confusion is not None:
            images = judged.confusion.sum(1).clamp(min=1)
            results["class_accuracies"] = (judged.confusion.diagonal() / images).tolist()
        return {
            **results,
            "seconds_testing": seconds,
            "samples_per_second": len(run.data.held_out.images) / seconds,
        }
