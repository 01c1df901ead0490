"""Gates of ones on channels, whose gradients say how much the loss depends on each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from secateur.channels.groups import Group
from secateur.pruning.saliency import Batch, LossFunction, batch_gradients


def gate_gradients(
    network: nn.Module, groups: dict[str, Group], loss: LossFunction, batches: Iterable[Batch], mode: str = "eval"
) -> Iterator[dict[str, Tensor]]:
    """Yield for each batch dL/dc for the gates c (C,) of each group.

    A gate multiplies its channel behind the bias and before the norm; coupled layers share their gates. The network is
    in float32, its norms in the `mode` that `--score_mode` names, and is left as it was.
    """
    device = next(network.parameters()).device
    gates = {root: torch.ones(group.channels, device=device, requires_grad=True) for root, group in groups.items()}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(_multiply(gates[root], own.to(device), ours.to(device)))
        for root, group in groups.items()
        for name, own, ours in group.outputs
    ]
    try:
        yield from batch_gradients(network, loss, batches, gates, mode)
    finally:
        for handle in handles:
            handle.remove()


def _multiply(gates: Tensor, own: Tensor, ours: Tensor) -> Callable[..., Tensor]:
    def hook(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        dimension = -1 if isinstance(layer, nn.Linear) else output.dim() - len(layer.kernel_size) - 1
        shape = [1] * output.dim()
        shape[dimension] = -1
        factors = torch.ones(output.shape[dimension], device=output.device).index_copy(0, own, gates[ours])
        return output * factors.view(shape).to(output.dtype)

    return hook
