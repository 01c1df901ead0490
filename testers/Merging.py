"""Channels removed without training, and made up for."""

from __future__ import annotations

from secateur.channels.removal import removed
from secateur.config.option import option
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.L2GM import L2GM
from secateur.criterions.L2Norm import L2Norm
from secateur.measuring.charts.merging import accuracies
from secateur.pruning.structured import StructuredCriterion
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.tables import Table

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

    merge_criteria: list[str] = option(
        ["l1-norm", "l2-norm", "l2-GM"],
        "remove the smallest channels by l1-norm, l2-norm, l2-GM (default: all three, compared)",
        choices=("l1-norm", "l2-norm", "l2-GM"),
        metavar="NAME,NAME",
    )
    merge_ratios: list[float] = option(
        [0.3, 0.5, 0.6, 0.7, 0.8],
        "fractions of the channels to remove",
        low=0,
        high=1,
        below=True,
        metavar="R,R,...",
    )

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        if not isinstance(run.criterion, StructuredCriterion):
            raise UserError("Merging removes channels by --merge_criteria: leave out --prune_criterion")
        if "compensate" in run.settings.given or "merge" in (run.criterion.repair or ()):
            raise UserError("Merging compares all methods of --compensate: leave it out, and --repair merge too")
        run.criterion.trace()  # says at once where nothing can be removed
        if not run.criterion.groups:
            raise UserError(f"no channels of {run.model_spec['model']} can be removed: all belong to inputs or classes")

    def evaluate(self) -> dict[str, object]:
        """Measure the network, then what is left of it by each criterion, at each ratio, in each way."""
        run = self.run
        results = self.measure(run)
        held_out = run.data.held_out_name
        original = {"original_accuracy": results[f"{held_out}_accuracy"], "original_loss": results[f"{held_out}_loss"]}
        rows, notices = [], {}
        for name in self.merge_criteria:
            for ratio in self.merge_ratios:
                row = {"criterion": name, "ratio": ratio, "node_sparsity": None, **original}
                for way, compensation in WAYS.items():
                    network, step = removed(run, CRITERIA[name], ratio, compensation)
                    evaluation = self.on_held_out(run, network)
                    row["node_sparsity"] = 1 - step.kept / step.candidates
                    row |= {f"{way}_accuracy": evaluation.accuracy, f"{way}_loss": evaluation.loss}
                    notices |= dict.fromkeys(step.notices)
                rows.append(row)
        for notice in notices:
            run.log.warning(notice)
        run.notices += notices
        title = f"{results['model']} on {results['data_set']}: {held_out} accuracy without training"
        # The losses are in results.json.
        shown = [{_heading(name): value for name, value in row.items() if not name.endswith("loss")} for row in rows]
        forms = dict.fromkeys(("original", *WAYS), "{:.2%}") | {"ratio": "{:.1%}", "node_sparsity": "{:.2%}"}
        run.hooks.table_created(run=run, table=Table("merging", title, shown, forms))
        accuracies(shown, ("original", *WAYS), title, run.folder.output / "merging.png")
        return {**results, "merging": rows}


def _heading(name: str) -> str:
    return name.removesuffix("_accuracy")
