"""A trained network pruned step by step, without training."""

from __future__ import annotations

from secateur.config.option import option
from secateur.measuring.charts.sparsification import accuracy_and_loss, distributions, methods
from secateur.pruning.selection import select
from secateur.pruning.sparsification import NORMS, hidden_layers, pruned_by, without
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.tables import Table


class Sparsification(DefaultTester):
    """How far a trained network can be pruned without training, weight by weight and unit by unit.

    At each sparsity k the weights of the smallest |w| are set to zero, or the units (neurons, channels of a
    convolution) whose incoming weights have the smallest L2 norm: the share k of each layer, as J. Cosentino's program
    network-pruning does for For.ai's challenge. A unit loses its bias too; a norm behind it stays. The layer that gives
    the classes is spared. The network itself stays as it is.

    `--methods` are criteria that are tried as well, of weights or of channels, each to each k of what it prunes, before
    and after `--method_repairs`, on `--method_batches` batches of training data.
    """

    trains = True
    compares = False

    k_vals: list[float] = option(
        [0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99],
        "sparsities at which the network is evaluated",
        low=0,
        high=1,
        metavar="K,K,...",
    )
    ranking: str = option(
        "layer",
        "prune the same fraction of each layer, or the smallest weights of the whole network",
        choices=("layer", "network"),
    )

    methods: list[str] | None = option(
        None, "criteria to compare at each sparsity, before and after repair", metavar="NAME,NAME,..."
    )
    method_repairs: list[str] = option(
        ["least_squares", "bn"],
        "repairs after each of --methods",
        choices=("bn", "bias", "least_squares", "distill"),
        metavar="NAME,NAME,...",
    )
    method_distribution: str | None = option(
        None,
        "how sparsity is distributed over the layers by --methods (default: as each criterion does)",
        choices=("global", "uniform", "erdos_renyi", "erdos_renyi_kernel"),
    )
    method_batches: int = option(5, "batches of training data for --methods and their repairs", low=1)

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: The criteria that are compared.
        self.criteria = [run.registry.find("criterions", name).load() for name in self.methods or ()]

    def evaluate(self) -> dict[str, object]:
        """Measure the network, then what is left of it at each sparsity; draw both."""
        run = self.run
        results = self.measure(run)
        layers = hidden_layers(run.network, run.example)
        if not layers:
            raise UserError(f"Sparsification spares the last layer, and {results['model']} has no other")
        rows = [{"sparsity": k} for k in self.k_vals]
        for unit, measure in NORMS.items():
            norms = {name: measure(layer) for name, layer in layers.items()}
            total = sum(norm.numel() for norm in norms.values())
            distribution = {"layer": "uniform", "network": "global"}[self.ranking]
            steps = [select(norms, round((1 - k) * total), distribution) for k in self.k_vals]
            for row, kept in zip(rows, steps, strict=True):
                pruned = without(run.network, kept)
                evaluation = self.on_held_out(run, pruned)
                row |= {f"{unit}_accuracy": evaluation.accuracy, f"{unit}_loss": evaluation.loss}
            path = run.folder.output / f"pruned_{unit}s.gif"
            distributions(unit, norms, dict(zip(self.k_vals, steps, strict=True)), results["model"], path)
        title = f"{results['model']} on {results['data_set']}, pruned without training"
        forms = {"sparsity": "{:.1%}"} | {f"{unit}_accuracy": "{:.2%}" for unit in NORMS}
        forms |= {f"{unit}_loss": "{:.4f}" for unit in NORMS}
        run.hooks.table_created(run=run, table=Table("sparsification", title, rows, forms))
        accuracy_and_loss(rows, run.data.held_out_name, title, run.folder.output / "sparsification.png")
        return {**results, "sparsification": rows} | (self.compare_methods(title) if self.criteria else {})

    def compare_methods(self, title: str) -> dict[str, object]:
        """Prune by each criterion to each sparsity, and repair; a table and a figure of both."""
        run, rows = self.run, []
        for kind in self.criteria:
            for k in self.k_vals:
                row = {"method": kind.__name__, "sparsity": k}
                network, mend = pruned_by(run, kind, k, self.method_batches, self.method_distribution)
                row["accuracy"] = self.on_held_out(run, network).accuracy
                repairs = mend(self.method_repairs)
                row["repaired_accuracy"] = self.on_held_out(run, network).accuracy
                row |= {"error": repairs[0].error_before, "repaired_error": repairs[-1].error_after}
                rows.append(row)
        forms = {"sparsity": "{:.1%}", "accuracy": "{:.2%}", "repaired_accuracy": "{:.2%}"}
        forms |= {"error": "{:.4f}", "repaired_error": "{:.4f}"}
        title = f"{title}; repaired by {', '.join(self.method_repairs)}"
        run.hooks.table_created(run=run, table=Table("sparsification_methods", title, rows, forms))
        methods(rows, run.data.held_out_name, title, run.folder.output / "sparsification_methods.png")
        return {"sparsification_methods": rows}
