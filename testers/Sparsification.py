"""A trained network pruned step by step, without training."""

from __future__ import annotations

import argparse

from testers.DefaultTester import DefaultTester
from utils.charts.sparsification import accuracy_and_loss, distributions
from utils.errors import UserError
from utils.measure.evaluation import evaluate
from utils.pruning.selection import select
from utils.pruning.sparsification import NORMS, hidden_layers, without
from utils.ranges import numbers
from utils.tables import Table


class Sparsification(DefaultTester):
    """How far a trained network can be pruned without training, weight by weight and unit by unit.

    At each sparsity k the weights of the smallest |w| are set to zero, or the units (neurons, channels of a
    convolution) whose incoming weights have the smallest L2 norm: the share k of each layer, as J. Cosentino's program
    network-pruning does for For.ai's challenge. A unit loses its bias too; a norm behind it stays. The layer that gives
    the classes is spared. The network itself stays as it is.
    """

    trains = True
    compares = False

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the sparsities, and what is ranked together."""
        parser.add_argument(
            "--k_vals",
            type=numbers(float, 0, 1),
            default=[0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99],
            metavar="K,K,...",
            help="sparsities at which the network is tested (default: 0,.25,.5,.6,.7,.8,.9,.95,.97,.99)",
        )
        parser.add_argument(
            "--ranking",
            choices=("layer", "network"),
            default="layer",
            help="prune the same share of each layer, or what is smallest in the whole network (default: %(default)s)",
        )

    def evaluate(self) -> dict[str, object]:
        """Measure the network, then what is left of it at each sparsity; draw both."""
        run, arguments = self.run, self.run.arguments
        results = self.measure(run)
        layers = hidden_layers(run.network, run.example)
        if not layers:
            raise UserError(f"Sparsification spares the last layer, and {results['model']} has no other")
        rows = [{"sparsity": k} for k in arguments.k_vals]
        for unit, measure in NORMS.items():
            norms = {name: measure(layer) for name, layer in layers.items()}
            total = sum(norm.numel() for norm in norms.values())
            distribution = {"layer": "uniform", "network": "global"}[arguments.ranking]
            steps = [select(norms, round((1 - k) * total), distribution) for k in arguments.k_vals]
            for row, kept in zip(rows, steps, strict=True):
                pruned = without(run.network, kept)
                judged = evaluate(pruned, run.loss, run.data.held_out, run.data.num_classes, run.precision.autocast)
                row |= {f"{unit}_accuracy": judged.accuracy, f"{unit}_loss": judged.loss}
            path = run.folder.output / f"pruned_{unit}s.gif"
            distributions(unit, norms, dict(zip(arguments.k_vals, steps, strict=True)), results["model"], path)
        title = f"{results['model']} on {results['data_set']}, pruned without training"
        forms = {"sparsity": "{:.1%}"} | {f"{unit}_accuracy": "{:.2%}" for unit in NORMS}
        forms |= {f"{unit}_loss": "{:.4f}" for unit in NORMS}
        run.hooks.tabulated(run=run, table=Table("sparsification", title, rows, forms))
        accuracy_and_loss(rows, run.data.held_out_name, title, run.folder.output / "sparsification.png")
        return {**results, "sparsification": rows}
