"""How much of a network is left, and the figures that every result holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from secateur.measuring.evaluation import Evaluation
from secateur.pruning.layers import outputs_first, prunable_layers

if TYPE_CHECKING:
    from secateur.runs.run import Run
    from secateur.trainers.DefaultTrainer import DefaultTrainer


@dataclass(frozen=True)
class Sparsity:
    """What is left of the prunable weights; a weight counts as gone when it is exactly zero, or was removed."""

    #: Weights of each prunable layer of the dense network, and those of them that are there and not zero.
    sizes: dict[str, int]
    nonzero: dict[str, int]
    #: Of every layer but the last: output channels or neurons of the dense network, and those that are there with at
    #: least one weight that is not zero.
    nodes: int
    nodes_alive: int
    #: Parameters of the whole dense network, biases and norms included, and those that are there and not zero.
    parameters: int
    parameters_kept: int

    @property
    def weight_sparsity(self) -> float:
        """The share of all prunable weights that is zero."""
        total = sum(self.sizes.values())
        return 1 - sum(self.nonzero.values()) / total if total else 0.0

    @property
    def node_sparsity(self) -> float:
        """The share of the hidden units whose weights are all zero."""
        return 1 - self.nodes_alive / self.nodes if self.nodes else 0.0

    @property
    def densities(self) -> dict[str, float]:
        """The share of each layer's weights that is not zero."""
        return {name: self.nonzero[name] / size for name, size in self.sizes.items()}


def shown_share(share: float, kind: str = "g") -> str:
    """Write a share in four digits (`kind` `%`: per cent in two decimals), or as many as tell it from 1."""
    digits = 2 if kind == "%" else 4
    text = f"{share:.{digits}{kind}}"
    while share < 1 and text in ("1", f"{1:.{digits}%}"):
        digits += 1
        text = f"{share:.{digits}{kind}}"
    return text


#: Up to this share of the weights is zero by chance: initialisers and steps of training hit 0.0 exactly now and then,
#: a few times among the 11 million weights of a dense ResNet-18.
BY_CHANCE = 1e-5


def shown_left(left: int, dense: int, weight_sparsity: float) -> str:
    """Write what is left of a dense network's number: "9 of 10", or "10" where no more weights are zero than by chance.

    `weight_sparsity` is in [0, 1].
    """
    return f"{dense:,}" if weight_sparsity <= BY_CHANCE else f"{left:,} of {dense:,}"


@torch.no_grad()
def measure_sparsity(network: nn.Module, dense: Sparsity | None = None) -> Sparsity:
    """Count the weights of a network that are not zero; waits for the device once.

    `dense` is what was measured before channels were removed from it.
    """
    layers = prunable_layers(network)
    weights = {name: layer.weight for name, layer in layers.items()}
    counts = [weight.count_nonzero() for weight in weights.values()]
    hidden = [outputs_first(layer).flatten(1).any(1) for layer in layers.values()][:-1]
    totals = torch.stack([*counts, *(nodes.sum() for nodes in hidden)]).tolist() if layers else []
    sizes = {name: weight.numel() for name, weight in weights.items()}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Sparsity(
        sizes=dense.sizes if dense else sizes,
        nonzero=dict(zip(weights, totals, strict=False)),
        nodes=dense.nodes if dense else sum(len(nodes) for nodes in hidden),
        nodes_alive=sum(totals[len(counts) :]),
        parameters=dense.parameters if dense else parameters,
        parameters_kept=parameters - sum(sizes.values()) + sum(totals[: len(counts)]),
    )


def layer_outputs(network: nn.Module) -> dict[str, int]:
    """Return how many outputs each prunable layer has, neurons or channels, by name."""
    return {name: len(outputs_first(layer)) for name, layer in prunable_layers(network).items()}


def network_figures(run: Run, evaluation: Evaluation | None = None) -> dict[str, object]:
    """Return what the network is, how well it does and how much of it is left.

    Accuracies and sparsities are in [0, 1]. What was not measured is None: with `--tuning` the test set, without
    `evaluation` either set.
    """
    sparsity = run.sparsity()
    held_out = run.data.held_out_name
    return {
        "model": run.model_spec["model"],
        "data_set": run.model_spec["data_set"],
        "prune_criterion": run.model_spec["prune_criterion"],
        "test_accuracy": None,
        "test_loss": None,
        f"{held_out}_accuracy": evaluation.accuracy if evaluation else None,
        f"{held_out}_top5_accuracy": evaluation.top5_accuracy if evaluation else None,
        f"{held_out}_loss": evaluation.loss if evaluation else None,
        "weight_sparsity": sparsity.weight_sparsity,
        "node_sparsity": sparsity.node_sparsity,
        "parameters_dense": sparsity.parameters,
        "parameters_kept": sparsity.parameters_kept,
        "flops_dense": run.flops.total,
        "flops_effective": run.flops.effective(sparsity.densities),
        "layer_densities": sparsity.densities,
        "layers_left_out": run.model_spec["layers_left_out"],
        "seed": run.options.seed,
    }


def epoch_figures(trainer: DefaultTrainer) -> dict[str, object]:
    """Return a row of metrics.csv; what was not measured is None."""
    run, means, evaluation = trainer.run, trainer.means.read(), trainer.evaluation
    sparsity, held_out = run.sparsity(), run.data.held_out_name
    return {
        "epoch": trainer.epoch,
        "learning_rate": trainer.optimizer.param_groups[0]["lr"],
        "train_loss": means["loss"],
        "train_accuracy": means["accuracy"],
        f"{held_out}_loss": evaluation.loss if evaluation else None,
        f"{held_out}_accuracy": evaluation.accuracy if evaluation else None,
        "weight_sparsity": sparsity.weight_sparsity,
        "node_sparsity": sparsity.node_sparsity,
        "seconds_training": trainer.seconds["training"],
        "samples_per_second": trainer.means.samples / trainer.epoch_seconds,
    }


def training_results(trainer: DefaultTrainer) -> dict[str, object]:
    """Return the figures of a run that has trained, for results.json."""
    seen = trainer.means.read() if trainer.means.samples else {}
    return {
        **network_figures(trainer.run, trainer.evaluation or trainer.evaluate()),
        "train_accuracy": seen.get("accuracy"),
        "train_loss": seen.get("loss"),
        "epochs": trainer.epoch,
        "flops_training_total": trainer.training_flops,
        "seconds_pruning": trainer.seconds["pruning"],
        "seconds_training": trainer.seconds["training"],
        "seconds_testing": trainer.seconds.get("testing"),
        "collapsed_layers": trainer.pruner.collapsed,
        "repairs": trainer.criterion.repairs,
        "budgets": trainer.criterion.budgets,
    }
