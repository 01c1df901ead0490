"""A trained network pruned step by step, without training."""

from __future__ import annotations

from secateur.config.option import option
from secateur.measuring.charts.sparsification import accuracy_and_loss, distributions
from secateur.measuring.evaluation import evaluate
from secateur.pruning.selection import select
from secateur.pruning.sparsification import NORMS, hidden_layers, without
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.tables import Table


class Sparsification(DefaultTester):
    """How far a trained network can be pruned without training, weight by weight and unit by unit.

    At each sparsity k the weights of the smallest |w| are set to zero, or the units (neurons, channels of a
    convolution) whose incoming weights have the smallest L2 norm: the share k of each layer, as J. Cosentino's program
    network-pruning does for For.ai's challenge. A unit loses its bias too; a norm behind it stays. The layer that gives
    the classes is spared. The network itself stays as it is.
    """

    trains = True
    compares = False

    k_vals: list[float] = option(
        [0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99],
        "sparsities at which the network is tested",
        low=0,
        high=1,
        metavar="K,K,...",
    )
    ranking: str = option(
        "layer",
        "prune the same fraction of each layer, or what is smallest in the whole network",
        choices=("layer", "network"),
    )

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
                evaluation = evaluate(pruned, run.loss, run.data.held_out, run.data.num_classes, run.precision.autocast)
                row |= {f"{unit}_accuracy": evaluation.accuracy, f"{unit}_loss": evaluation.loss}
            path = run.folder.output / f"pruned_{unit}s.gif"
            distributions(unit, norms, dict(zip(self.k_vals, steps, strict=True)), results["model"], path)
        title = f"{results['model']} on {results['data_set']}, pruned without training"
        forms = {"sparsity": "{:.1%}"} | {f"{unit}_accuracy": "{:.2%}" for unit in NORMS}
        forms |= {f"{unit}_loss": "{:.4f}" for unit in NORMS}
        run.hooks.table_created(run=run, table=Table("sparsification", title, rows, forms))
        accuracy_and_loss(rows, run.data.held_out_name, title, run.folder.output / "sparsification.png")
        return {**results, "sparsification": rows}
