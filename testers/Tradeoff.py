"""What accuracy a network has left at which speed."""

from __future__ import annotations

from typing import Any

from torch import nn

from secateur.config.option import option
from secateur.measuring.charts.tradeoff import tradeoff
from secateur.measuring.latency import latencies
from secateur.measuring.sparsity import measure_sparsity
from secateur.pruning.sparsification import criterion_of_copy
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.errors import UserError
from secateur.utils.tables import Table
from secateur.utils.terminal import progress_bar

FORMS = {
    "asked": "{:.2f}",
    "latency_ms": "{:,.3f}",
    "times_as_fast": "{:.2f}",
    "accuracy": "{:.2%}",
    "weight_sparsity": "{:.2%}",
}


class Tradeoff(DefaultTester):
    """Accuracy against measured latency: a network pruned to each of `--tradeoff_budgets`, without training.

    By `--tradeoff_criterion`, and repaired as `--tradeoff_repairs` says. Other runs that `--checkpoint_name` names, as
    of smaller networks of the family that have not been pruned, stand beside it as they are. All networks take turns
    in the end, so that whatever else the machine does meets all of them. The networks themselves stay as they are.
    """

    trains = True

    tradeoff: bool = option(
        False,
        "with --eval: measure accuracy against latency; of several runs the first is pruned",
        general=True,
        stands_for=("test_scheme", "Tradeoff"),
    )
    tradeoff_budgets: list[float] = option(
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.33, 0.25, 0.2, 0.15],
        "latencies to prune to, as fractions of the network's",
        low=0,
        high=1,
        above=True,
        metavar="X,X,...",
        general=True,
    )
    tradeoff_images: int = option(1, "batch size at which the latency is measured", low=1, general=True)
    tradeoff_criterion: str = option(
        "L1Norm",
        "criterion, for channels or weights",
        pattern=(r"\w+", "a name"),
        metavar="NAME",
        general=True,
    )
    tradeoff_repairs: list[str] = option(
        ["least_squares", "bn"],
        "repairs after pruning",
        choices=("bn", "bias", "least_squares", "distill"),
        metavar="NAME,NAME,...",
        general=True,
    )
    tradeoff_batches: int = option(5, "batches of training data for the criterion and the repairs", low=1, general=True)

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.kind = run.registry.find("criterions", self.tradeoff_criterion).load()
        if not self.kind.has_limit:
            raise UserError(
                f"--tradeoff_criterion {self.kind.__name__} decides itself how much is pruned: choose another"
            )

    def evaluate(self) -> dict[str, object]:
        """Test the networks, prune the first to each budget, then time all of them; tabulate and draw."""
        run = self.run
        results = super().evaluate()
        first, *_ = run.compared
        rows: list[dict[str, Any]] = []
        networks: dict[str, nn.Module] = {}
        for label, one in run.compared.items():
            rows.append({"network": label, "asked": None, **self.figures(one, one.network)})
            networks[label] = one.executed
        with progress_bar(len(self.tradeoff_budgets), "budgets") as advance:
            for share in self.tradeoff_budgets:
                label = f"{first}, {share:g} of the latency"
                advance(0, label)
                try:
                    pruned, networks[label] = self.pruned_to(share)
                    rows.append({"network": label, "asked": share, **self.figures(run, pruned)})
                except UserError as error:  # a budget that cannot be met ends no curve
                    run.notify(str(error))
                advance(1, label)
        images = self.tradeoff_images
        taken = latencies(run, networks, [images], 1.0 * len(networks))[images]
        for row in rows:
            row["latency_ms"] = taken[row["network"]]
            row["times_as_fast"] = taken[first] / row["latency_ms"] if row["latency_ms"] else None
        title = f"{results['model']} on {results['data_set']}, pruned by {self.kind.__name__}, batches of {images}"
        run.hooks.table_created(run=run, table=Table("tradeoff", title, rows, FORMS))
        tradeoff(rows, first, run.data.held_out_name, title, run.folder.output / "tradeoff.png")
        return {**results, "tradeoff": rows}

    def pruned_to(self, share: float) -> tuple[nn.Module, nn.Module]:
        """A copy of the network that takes this fraction of its latency, and the same as it is run."""
        run = self.run
        options = {
            "target": [f"latency={share:.9f}@{self.tradeoff_images}"],
            "repair": self.tradeoff_repairs,
            "saliency_batches": self.tradeoff_batches,
        }
        criterion, looked_at = criterion_of_copy(run, self.kind, options, smoke=run.options.smoke)
        criterion.execution, criterion.autocast = run.machine.execution, run.precision.autocast
        criterion.prune_and_repair(criterion.limit, looked_at, last=True, final=True)
        return criterion.network, criterion.meter.as_run(criterion.network, run.example)

    def figures(self, run: Run, network: nn.Module) -> dict[str, float]:
        """Accuracy of a network of a run, parameters and the share of weights that is gone."""
        sparsity = measure_sparsity(network, run.dense)
        return {
            "accuracy": self.on_held_out(run, network).accuracy,
            "parameters_kept": sparsity.parameters_kept,
            "weight_sparsity": sparsity.weight_sparsity,
        }
