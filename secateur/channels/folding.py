"""Networks made of plain layers, so that channels can go: weights that are computed as norms say, and attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from secateur.channels.attention import open_attention
from secateur.pruning.layers import NAMED
from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode
from secateur.utils.text import first_few

#: What weight_norm and spectral_norm make, by hooks as of old and as parametrizations.
HOOKS = {WeightNorm: remove_weight_norm, SpectralNorm: remove_spectral_norm}
PARAMETRIZATIONS = (parametrizations._WeightNorm, parametrizations._SpectralNorm)


def make_plain(network: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> list[str]:
    """Fold norms of weights, and open torch's attention, in place; returns what to tell the user.

    Raises `UserError` where an optimizer trains what would be no more.
    """
    notices = fold_norms_of_weights(network, optimizer)
    if opened := open_attention(network):
        notices.append(f"in_proj_weight is now in_proj.weight in {first_few(opened, NAMED)}, whose heads can go")
    return notices


def fold_norms_of_weights(network: nn.Module, optimizer: torch.optim.Optimizer | None) -> list[str]:
    """Fold weight norms and spectral norms into the weights, in place; returns what to tell the user.

    What the network computes in evaluation mode stays; its weights are trained without such norms from here on. Raises
    `UserError` where an optimizer trains what would be no more.
    """
    found = list(_foldings(network))
    if found and optimizer is not None:
        raise UserError(
            f"channels cannot go where weights are normed, as of {found[0][0]}: fold the norms before the optimizer is "
            "made, by torch.nn.utils.remove_weight_norm, remove_spectral_norm or parametrize.remove_parametrizations"
        )
    with evaluation_mode(network):
        for _, fold in found:
            fold()
    names = ", ".join(dict.fromkeys(name for name, _ in found))
    return [f"the norms of weights were folded into the weights of {names}"] if found else []


def _foldings(network: nn.Module) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, module in network.named_modules():
        for hook in list(module._forward_pre_hooks.values()):
            for kind, remove in HOOKS.items():
                if isinstance(hook, kind):
                    yield name, lambda module=module, hook=hook, remove=remove: remove(module, hook.name)
        for own, norms in dict(getattr(module, "parametrizations", {})).items():
            if all(isinstance(norm, PARAMETRIZATIONS) for norm in norms):
                yield name, lambda module=module, own=own: _remove_parametrizations(module, own)


def _remove_parametrizations(module: nn.Module, own: str) -> None:
    """Do so, and not to copies of the module: torch takes the attribute from the class, which they share."""
    kind = type(module)
    attributes = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(kind.__name__, kind.__bases__, attributes)
    parametrize.remove_parametrizations(module, own)
