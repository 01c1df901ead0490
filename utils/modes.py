"""Training and evaluation mode of a network, statistics of norms, and parameters without gradients."""

import contextlib
from collections.abc import Iterable, Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


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
