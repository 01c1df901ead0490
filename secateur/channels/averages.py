"""Norms whose statistics are those of all channels, once some of these are nothing: they are taken over the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

#: By the norm: the dimension of the channels.
NORMS = {functional.layer_norm: -1, functional.group_norm: 1}


def average_over_left(module: nn.Module, gone: Tensor) -> None:
    """Let a module take its statistics without these channels, which it puts out as zeros, from now on."""
    hook = next((hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _Enter)), None)
    if hook is None:
        hook = _Enter()
        module.register_forward_pre_hook(hook)
        module.register_forward_hook(_leave, always_call=True)
    hook.gone |= set(gone.tolist())


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
        self.gone: set[int] = set()

    def __call__(self, module: nn.Module, _inputs: Any) -> None:
        mode = _OverLeft(self.gone)
        module._over_left = mode
        mode.__enter__()


def _leave(module: nn.Module, _inputs: Any, _output: Any) -> None:
    module._over_left.__exit__(None, None, None)
    del module._over_left


class _OverLeft(TorchFunctionMode):
    def __init__(self, gone: set[int]) -> None:
        super().__init__()
        self.gone = gone

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in NORMS:
            return func(*args, **kwargs)
        dim, (source, over, *tensors) = NORMS[func], args
        left = torch.tensor([number for number in range(source.shape[dim]) if number not in self.gone])
        left = left.to(source.device, torch.long)
        over = over if func is functional.group_norm else (len(left),)

        def part(tensor: Any) -> Any:
            return tensor[left] if isinstance(tensor, Tensor) else tensor

        kwargs = {name: part(value) for name, value in kwargs.items()}
        found = func(source.index_select(dim, left), over, *map(part, tensors), **kwargs)
        return torch.zeros_like(source).index_copy(dim, left, found)
