"""Gates of ones on channels, whose gradients say how much the loss depends on each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from secateur.channels.groups import Group
from secateur.pruning.saliency import Batch, LossFunction, batch_gradients


def gate_gradients(
    network: nn.Module,
    groups: dict[str, Group],
    loss: LossFunction,
    batches: Iterable[Batch],
    mode: str = "eval",
    behind_norms: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yield for each batch dL/dc for the gates c (C,) of each group.

    A gate multiplies its channel behind the bias and before the norm; coupled layers share their gates. With
    `behind_norms` the gates of channels with a batch norm are behind that: a norm that takes the statistics of each
    batch undoes what is multiplied before it, so that there the gradient is nothing but rounding. The network is in
    float32, its norms in the `mode` that `--score_mode` names, and is left as it was.
    """
    device = next(network.parameters()).device
    gates = {root: torch.ones(group.channels, device=device) for root, group in groups.items()}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(_multiply(gates[root], own.to(device), ours.to(device)))
        for root, group in groups.items()
        for name, own, ours in _gated(group, modules, behind_norms)
    ]
    try:
        yield from batch_gradients(network, loss, batches, gates, mode)
    finally:
        for handle in handles:
            handle.remove()


def _gated(group: Group, modules: dict[str, nn.Module], behind_norms: bool) -> list[tuple[str, Tensor, Tensor]]:
    """The modules whose outputs are multiplied, with their channels and those of the group that these belong to."""
    norms = [entry for entry in group.norms if behind_norms and isinstance(modules[entry[0]], _NormBase)]
    if not norms:
        return group.outputs
    normed = torch.cat([ours for _, _, ours in norms])
    rest = [(name, own, ours, ~torch.isin(ours, normed)) for name, own, ours in group.outputs]
    return norms + [(name, own[bare], ours[bare]) for name, own, ours, bare in rest if bare.any()]


def _multiply(gates: Tensor, own: Tensor, ours: Tensor) -> Callable[..., Tensor]:
    def hook(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if isinstance(layer, _NormBase):
            dimension = 1
        else:
            dimension = -1 if isinstance(layer, nn.Linear) else output.dim() - len(layer.kernel_size) - 1
        shape = [1] * output.dim()
        shape[dimension] = -1
        factors = torch.ones(output.shape[dimension], device=output.device).index_copy(0, own, gates[ours])
        return output * factors.view(shape).to(output.dtype)

    return hook
