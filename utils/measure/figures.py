"""The figures of a network that every result holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.measure.evaluation import Evaluation

if TYPE_CHECKING:
    from utils.run.run import Run


def network_figures(run: Run, judged: Evaluation | None = None) -> dict[str, object]:
    """Return what the network is, how well it does and how much of it is left.

    Accuracies and sparsities are in [0, 1]. What was not measured is None: with `--tuning` the test set, without
    `judged` either set.
    """
    sparsity = run.sparsity()
    held_out = run.data.held_out_name
    return {
        "model": run.identity["model"],
        "data_set": run.identity["data_set"],
        "prune_criterion": run.identity["prune_criterion"],
        "test_accuracy": None,
        "test_loss": None,
        f"{held_out}_accuracy": judged.accuracy if judged else None,
        f"{held_out}_loss": judged.loss if judged else None,
        "weight_sparsity": sparsity.weight_sparsity,
        "node_sparsity": sparsity.node_sparsity,
        "parameters_dense": sparsity.parameters,
        "parameters_kept": sparsity.parameters_kept,
        "flops_dense": run.flops.total,
        "flops_effective": run.flops.effective(sparsity.densities),
        "layer_densities": sparsity.densities,
        "seed": run.arguments.seed,
    }
