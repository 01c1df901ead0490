"""What each layer's pruning costs."""

from __future__ import annotations

import copy

from secateur.channels.groups import layer_of, overlapping
from secateur.channels.surgery import Surgery
from secateur.config.option import option
from secateur.measuring.charts.sensitivity import heat_map
from secateur.pruning.build import removes_channels
from secateur.pruning.sparsification import hidden_layers, pruned_by
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.tables import Table
from secateur.utils.terminal import progress_bar

FORMS = {"sparsity": "{:.1%}", "accuracy": "{:.2%}", "recalibrated_accuracy": "{:.2%}"}


class Sensitivity(DefaultTester):
    """Accuracy with one layer pruned and all others whole, at each sparsity, without training.

    Before and after batch norms have taken their statistics again, on `--sensitivity_batches` batches of training data
    (Li et al., 2020, "EagleEye"). Layers whose channels go together are tried as one. The
    table is what `--distribution sensitivity --sensitivity PATH` goes by. The network itself stays as it is.
    """

    trains = True
    compares = False

    sensitivity_sparsities: list[float] = option(
        [0.25, 0.5, 0.75, 0.9], "sparsities to try for each layer", low=0, high=1, above=True, below=True,
        metavar="K,K,...",
    )  # fmt: skip
    sensitivity_criterion: str = option(
        "Magnitude", "criterion, for weights or channels", pattern=(r"\w+", "a name"), metavar="NAME"
    )
    sensitivity_batches: int = option(5, "batches of training data for scores and batch norms", low=1)

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.kind = run.registry.find("criterions", self.sensitivity_criterion).load()
        if not self.kind.has_limit:
            raise UserError(
                f"--sensitivity_criterion {self.kind.__name__} decides itself how much is pruned: choose another"
            )

    def evaluate(self) -> dict[str, object]:
        """Measure the network, then with each layer pruned; tabulate and draw."""
        run = self.run
        results = self.measure(run)
        whole = results[f"{run.data.held_out_name}_accuracy"]
        rows = []
        layers = self.layers()
        with progress_bar(len(layers) * len(self.sensitivity_sparsities), "sparsities") as advance:
            for layer in layers:
                rows.append({"layer": layer, "sparsity": 0.0, "accuracy": whole, "recalibrated_accuracy": whole})
                for sparsity in self.sensitivity_sparsities:
                    rows.append({"layer": layer, "sparsity": sparsity, **self.accuracies(layer, sparsity)})
                    advance(1, layer)
        title = f"{results['model']} on {results['data_set']}, one layer pruned by {self.kind.__name__}"
        run.hooks.table_created(run=run, table=Table("sensitivity", title, rows, FORMS))
        heat_map(rows, run.data.held_out_name, title, run.folder.output / "sensitivity.png")
        return {**results, "sensitivity": rows, "sensitivity_criterion": self.kind.__name__}

    def layers(self) -> list[str]:
        """The layers that are tried, one of those whose channels go together."""
        run = self.run
        if not removes_channels(self.kind):
            found = [*hidden_layers(run.network, run.example)]
            return found + [name for name in run.masks.weights if name not in found]
        groups = Surgery(copy.deepcopy(run.network), run.example).groups
        return [layer_of(coupled[0]) for coupled in overlapping(groups)]

    def accuracies(self, layer: str, sparsity: float) -> dict[str, float]:
        """The accuracy in [0, 1] with this layer pruned, before and after recalibration."""
        network, mend = pruned_by(
            self.run,
            self.kind,
            0.0,
            self.sensitivity_batches,
            ignore_layers=None,
            layer_sparsity=[f"{layer}={sparsity:.9f}"],
            pruning_limit=0.0,
        )
        accuracy = self.on_held_out(self.run, network).accuracy
        mend(["bn"])
        return {"accuracy": accuracy, "recalibrated_accuracy": self.on_held_out(self.run, network).accuracy}
