"""Channels removed without training, and made up for."""

from __future__ import annotations

import argparse

from criterions.L1Norm import L1Norm
from criterions.L2GM import L2GM
from criterions.L2Norm import L2Norm
from testers.DefaultTester import DefaultTester
from utils.charts.merging import accuracies
from utils.errors import UserError
from utils.measure.evaluation import evaluate
from utils.pruning.removal import removed
from utils.pruning.structured import StructuredCriterion
from utils.ranges import numbers, several_of
from utils.run.run import Run
from utils.tables import Table

#: By the names of the paper's program.
NAMES = ("l1-norm", "l2-norm", "l2-GM")
CRITERIA = dict(zip(NAMES, (L1Norm, L2Norm, L2GM), strict=True))
#: What is done about removed channels, by what the result is called.
WAYS = {"pruned": "none", "merged": "merge", "least_squares": "least_squares"}


class Merging(DefaultTester):
    """The network pruned by channels, merged, refitted, and not trained, as in the experiments of Kim et al., 2020.

    The same share of each layer's channels goes, by each criterion and ratio: alone, with neuron merging
    (`--merge_threshold`, `--merge_lambda`, `--merge_formula`), and with the layers behind fitted by least squares on
    `--saliency_batches` batches. The network itself stays as it is.
    """

    trains = True
    compares = False
    implies = {"prune_criterion": "L1Norm"}  # whose options are those of all criteria of channels

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare which channels go."""
        parser.add_argument(
            "--merge_criteria",
            type=several_of(*NAMES),
            default=list(NAMES),
            metavar="NAME,NAME",
            help=f"which channels go: the smallest by {', '.join(NAMES)} (default: all)",
        )
        parser.add_argument(
            "--merge_ratios",
            type=numbers(float, 0, 1, below=True),
            default=[0.3, 0.5, 0.6, 0.7, 0.8],
            metavar="R,R,...",
            help="shares of the channels that go (default: .3,.5,.6,.7,.8)",
        )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if not isinstance(run.criterion, StructuredCriterion):
            raise UserError("Merging removes channels by --merge_criteria: leave out --prune_criterion")
        if "compensate" in run.arguments.explicit:
            raise UserError("Merging compares all ways of --compensate: leave it out")
        run.criterion.trace()  # says at once where nothing can be removed
        if not run.criterion.groups:
            raise UserError(f"no channels of {run.identity['model']} can be removed: all belong to inputs or classes")

    def evaluate(self) -> dict[str, object]:
        """Measure the network, then what is left of it by each criterion, at each ratio, in each way."""
        run, arguments = self.run, self.run.arguments
        results = self.measure(run)
        held_out = run.data.held_out_name
        original = {"original_accuracy": results[f"{held_out}_accuracy"], "original_loss": results[f"{held_out}_loss"]}
        rows, notices = [], {}
        for name in arguments.merge_criteria:
            for ratio in arguments.merge_ratios:
                row = {"criterion": name, "ratio": ratio, "node_sparsity": None, **original}
                for way, compensation in WAYS.items():
                    network, event = removed(run, CRITERIA[name], ratio, compensation)
                    judged = evaluate(
                        network, run.loss, run.data.held_out, run.data.num_classes, run.precision.autocast
                    )
                    row["node_sparsity"] = 1 - event.kept / event.competing
                    row |= {f"{way}_accuracy": judged.accuracy, f"{way}_loss": judged.loss}
                    notices |= dict.fromkeys(event.notices)
                rows.append(row)
        for notice in notices:
            run.log.warning(notice)
        run.notices += notices
        title = f"{results['model']} on {results['data_set']}: {held_out} accuracy without training"
        # The losses are in results.json.
        shown = [{_heading(name): value for name, value in row.items() if not name.endswith("loss")} for row in rows]
        forms = dict.fromkeys(("original", *WAYS), "{:.2%}") | {"ratio": "{:.1%}", "node_sparsity": "{:.2%}"}
        run.hooks.tabulated(run=run, table=Table("merging", title, shown, forms))
        accuracies(shown, ("original", *WAYS), title, run.folder.output / "merging.png")
        return {**results, "merging": rows}


def _heading(name: str) -> str:
    return name.removesuffix("_accuracy")
