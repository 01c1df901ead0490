"""Norms whose statistics are those of all channels, once some of these are nothing: they are taken over the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from secateur.channels.operations import STATISTICS

#: By the norm: the dimension of the channels.
NORMS = {functional.layer_norm: -1, functional.rms_norm: -1, functional.group_norm: 1}


def average_over_left(module: nn.Module, dim: int, gone: Tensor) -> None:
    """Let a module take its statistics over a dimension without these channels, from now on.

    `dim` is counted from the last. A norm of torch's puts the channels out as zeros.
    """
    hook = next((hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _Enter)), None)
    if hook is None:
        hook = _Enter()
        module.register_forward_pre_hook(hook)
        module.register_forward_hook(_leave, always_call=True)
    hook.gone.setdefault(dim, set()).update(gone.tolist())


def average_over_all(network: nn.Module) -> None:
    """Undo that."""
    for module in network.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for number, hook in list(hooks.items()):
                if isinstance(hook, _Enter) or hook is _leave:
                    hooks.pop(number)
                    module._forward_hooks_always_called.pop(number, None)


class _Enter:
    """Begins what `_leave` ends, when a module runs."""

    def __init__(self) -> None:
        #: By the dimension, counted from the last.
        self.gone: dict[int, set[int]] = {}

    def __call__(self, module: nn.Module, _inputs: Any) -> None:
        mode = _OverLeft(self.gone)
        module._over_left = mode
        mode.__enter__()


def _leave(module: nn.Module, _inputs: Any, _output: Any) -> None:
    module._over_left.__exit__(None, None, None)
    del module._over_left


class _OverLeft(TorchFunctionMode):
    def __init__(self, gone: dict[int, set[int]]) -> None:
        super().__init__()
        self.gone = gone

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in STATISTICS:
            return self._reduced(func, *args, **kwargs)
        if func not in NORMS or not self._is_cut(args[0], NORMS[func]):
            return func(*args, **kwargs)
        dim, (source, over, *tensors) = NORMS[func], args
        left = self._left(source, dim)
        over = over if func is functional.group_norm else (len(left),)

        def part(tensor: Any) -> Any:
            return tensor[left] if isinstance(tensor, Tensor) else tensor

        kwargs = {name: part(value) for name, value in kwargs.items()}
        found = func(source.index_select(dim, left), over, *map(part, tensors), **kwargs)
        return torch.zeros_like(source).index_copy(dim, left, found)

    def _reduced(self, func: Any, source: Tensor, *others: Any, **kwargs: Any) -> Any:
        """A statistic of what is left along the dimensions that it is taken over; of all numbers, as it is."""
        over = kwargs.get("dim", others[0] if others else ())
        # A boolean says whether a variance is that of a sample.
        for dim in () if isinstance(over, bool) else [over] if isinstance(over, int) else over or ():
            if self._is_cut(source, dim):
                source = source.index_select(dim, self._left(source, dim))
        return func(source, *others, **kwargs)

    def _is_cut(self, source: Tensor, dim: int) -> bool:
        return dim % source.dim() - source.dim() in self.gone

    def _left(self, source: Tensor, dim: int) -> Tensor:
        gone = self.gone[dim % source.dim() - source.dim()]
        left = [number for number in range(source.shape[dim]) if number not in gone]
        return torch.tensor(left, dtype=torch.long, device=source.device)
