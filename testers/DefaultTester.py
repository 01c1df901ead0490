"""Accuracy on the test set."""

from __future__ import annotations

import time

from torch import nn

from secateur.config.option import Configurable
from secateur.measuring.evaluation import Evaluation, evaluate
from secateur.measuring.sparsity import network_figures
from secateur.runs.run import Run
from secateur.utils.errors import UserError
from secateur.utils.tables import Table

#: What the table of several networks shows of each, and how.
COMPARED = {
    "test_accuracy": "{:.2%}",
    "validation_accuracy": "{:.2%}",
    "test_loss": "{:.4f}",
    "validation_loss": "{:.4f}",
    "weight_sparsity": "{:.2%}",
    "node_sparsity": "{:.2%}",
    "parameters_kept": "{:,}",
    "flops_effective": "{:,}",
}


class DefaultTester(Configurable):
    """Loss, accuracy and confusion matrix of a checkpoint, or of several, over the whole test set."""

    #: Whether a run of its own trains the network first where no checkpoint is named; see secateur/runs/train_first.py.
    trains: bool = False
    #: Whether several checkpoints can be tested side by side.
    compares: bool = True

    def __init__(self, run: Run) -> None:
        super().__init__(**run.settings.options_for(type(self)))
        if len(run.compared) > 1 and not self.compares:
            raise UserError(f"{type(self).__name__} tests one network: name one run with --checkpoint_name")
        self.run = run

    def evaluate(self) -> dict[str, object]:
        """Measure each network of `run.compared`, and return what goes to results.json: of the first, then of all."""
        measured = {label: self.measure(run) for label, run in self.run.compared.items()}
        results = next(iter(measured.values()))
        if len(measured) == 1:
            return results
        rows = [
            {"network": label, **{name: figures[name] for name in COMPARED if figures.get(name) is not None}}
            for label, figures in measured.items()
        ]
        title = f"{len(rows)} networks on {results['data_set']}"
        self.run.hooks.table_created(run=self.run, table=Table("compared", title, rows, COMPARED))
        return {**results, "compared": measured}

    def on_held_out(self, run: Run, network: nn.Module) -> Evaluation:
        """What a network does on the held-out images of a run, by its loss and in its precision."""
        return evaluate(network, run.loss, run.data.held_out, run.data.num_classes, run.precision.autocast)

    def measure(self, run: Run) -> dict[str, object]:
        """Test one network."""
        start = time.perf_counter()
        evaluation = self.on_held_out(run, run.executed)
        seconds = time.perf_counter() - start
        if run is self.run:
            run.hooks.evaluated(run=run, evaluation=evaluation)
        results = network_figures(run, evaluation)
        if evaluation.confusion is not None:
            images = evaluation.confusion.sum(1).clamp(min=1)
            results["class_accuracies"] = (evaluation.confusion.diagonal() / images).tolist()
        return {
            **results,
            "seconds_testing": seconds,
            "samples_per_second": len(run.data.held_out.images) / seconds,
        }
