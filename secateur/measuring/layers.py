"""What is left of each layer of a network, and how its weights are spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.layers import outputs_first, prunable_layers

if TYPE_CHECKING:
    from secateur.runs.run import Run

#: What the row of the whole network is called; its operations may be more than those of its layers.
WHOLE = "whole network"
#: Bars of a histogram.
BINS = 80


def layer_figures(run: Run) -> list[dict[str, Any]]:
    """Return a row for each prunable layer of the dense network, then one for the whole network.

    Sparsities are shares in [0, 1]; outputs are neurons or channels, kept where at least one of their weights is there
    and not zero; FLOPs are of one image, effective where zero weights are free; `left_out` says why a layer was not
    pruned, or not whole.
    """
    sparsity = run.sparsity()
    left_out = run.model_spec["layers_left_out"]
    outputs = layer_outputs(run.fresh_network(run.options.seed))
    alive = [outputs_first(layer).flatten(1).any(1).sum() for layer in prunable_layers(run.network).values()]
    kept = dict(zip(prunable_layers(run.network), torch.stack(alive).tolist() if alive else [], strict=True))
    rows = [
        {
            "layer": name,
            "weights": size,
            "weights_kept": sparsity.nonzero[name],
            "sparsity": 1 - sparsity.densities[name],
            "flops": run.flops.layers[name],
            "flops_effective": round(run.flops.layers[name] * sparsity.densities[name]),
            "outputs": outputs[name],
            "outputs_kept": kept[name],
            "left_out": left_out.get(name, ""),
        }
        for name, size in sparsity.sizes.items()
    ]
    whole = {
        "layer": WHOLE,
        "weights": sum(sparsity.sizes.values()),
        "weights_kept": sum(sparsity.nonzero.values()),
        "sparsity": sparsity.weight_sparsity,
        "flops": run.flops.total,
        "flops_effective": run.flops.effective(sparsity.densities),
        "outputs": sum(outputs.values()),
        "outputs_kept": sum(kept.values()),
        "left_out": "",
    }
    return [*rows, whole]


@dataclass(frozen=True)
class WeightHistogram:
    """The weights of a layer that are not zero, in several networks: counts between the same edges."""

    edges: list[float]
    #: By network, those that have the layer.
    counts: dict[str, list[float]]
    #: Weights that are zero, or were removed.
    gone: dict[str, int]


@torch.no_grad()
def weight_histograms(runs: dict[str, Run]) -> dict[str, WeightHistogram]:
    """Return the histogram of each layer, by its name, of the networks that are given by theirs."""
    sizes = {label: run.dense.sizes for label, run in runs.items()}
    found = {}
    for layer in dict.fromkeys(name for layers in sizes.values() for name in layers):
        left = {label: _left(run.masks.weights[layer]) for label, run in runs.items() if layer in sizes[label]}
        reach = max((float(weights.abs().max()) for weights in left.values() if len(weights)), default=0) or 1.0
        counts = {
            # A little wider, as rounding may leave the outermost weights out.
            label: torch.histc(weights.float(), BINS, -1.0001 * reach, 1.0001 * reach).tolist()
            for label, weights in left.items()
        }
        edges = torch.linspace(-reach, reach, BINS + 1).tolist()
        gone = {label: sizes[label][layer] - len(weights) for label, weights in left.items()}
        found[layer] = WeightHistogram(edges, counts, gone)
    return found


def _left(weight: Tensor) -> Tensor:
    return weight[weight != 0]
