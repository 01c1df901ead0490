"""What SNIP would keep if it saw the images of one class alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from secateur.pruning.layers import prunable_weights
from secateur.pruning.saliency import Batch, LossFunction, mean_gradients
from secateur.pruning.selection import select


def snip_masks(
    network: nn.Module, loss: LossFunction, batches: Iterable[Batch], sparsities: Sequence[float]
) -> list[dict[str, Tensor]]:
    """Return SNIP's masks of a network by these batches, one for each sparsity: boolean, by layer name.

    All prunable weights are ranked together by |dL/dw * w|, and round((1 - sparsity) * N) of N are kept.
    """
    weights = prunable_weights(network)
    gradients = mean_gradients(network, loss, batches, weights)
    scores = {name: (gradients[name] * weight.detach()).abs() for name, weight in weights.items()}
    total = sum(weight.numel() for weight in weights.values())
    return [select(scores, round((1 - sparsity) * total)) for sparsity in sparsities]
