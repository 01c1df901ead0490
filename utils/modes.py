"""Modes of a network: training and evaluation, statistics of norms, float64, parameters without gradients."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

T = TypeVar("T")


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode (running statistics, no dropout), and each of its parts back afterwards."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let norms take the statistics of each batch, as in training, while the rest of the network is in evaluation mode.

    The running statistics neither count nor change; there is no dropout.
    """
    norms = {module: module.track_running_stats for module in network.modules() if isinstance(module, _NormBase)}
    with evaluation_mode(network):
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
        try:
            yield
        finally:
            for norm, tracks in norms.items():
                norm.track_running_stats = tracks


@contextlib.contextmanager
def trainable(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Let gradients of parameters be taken, those of frozen ones too, which are frozen again afterwards."""
    at_rest = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in at_rest:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in at_rest:
            parameter.requires_grad_(False)


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Take no gradients of a network's parameters, and let each again afterwards: those of its inputs cost less."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class _Float64(TorchDispatchMode):
    """Lets each operation read and make floating-point numbers in float64, whatever type they are stored in."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; what it writes into a tensor of another type arrives there rounded."""
        kwargs = kwargs or {}
        if func.is_view:
            return func(*args, **kwargs)
        read: list[tuple[Tensor, Tensor]] = []

        def double(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point() or tensor.dtype == torch.float64:
                return tensor
            read.append((tensor, tensor.double()))
            return read[-1][1]

        args, kwargs = tree_map_only(Tensor, double, (args, kwargs))
        outputs = func(*args, **kwargs)
        for tensor, exact in read:
            if exact is outputs:
                return tensor.copy_(exact)
        return tree_map_only(Tensor, double, outputs)


class _Float64Convolutions(TorchFunctionMode):
    """Gives convolutions, which compare types before they are an operation, float64 alone."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        if getattr(func, "__name__", "").startswith("conv"):
            args, kwargs = tree_map_only(
                Tensor, lambda one: one.double() if one.is_floating_point() else one, (args, kwargs)
            )
        return func(*args, **(kwargs or {}))


def in_float64(compute: Callable[[nn.Module], T], network: nn.Module) -> T:
    """Return what `compute` makes of a network whose numbers are in float64, without copying it where that can be.

    It is called with the network itself, whose weights are taken in float64 one operation at a time; where that fails,
    as of a network that compares types by itself, once more with a copy. What it gives the network is in float64.
    """
    try:
        with _Float64(), _Float64Convolutions():
            return compute(network)
    except Exception:  # whatever a network does; if it was not this, it is raised again
        return compute(copy.deepcopy(network).double())
