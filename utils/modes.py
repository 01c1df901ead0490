"""Training and evaluation mode of a network, and parameters without gradients."""

import contextlib
from collections.abc import Iterable, Iterator

from torch import nn


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
def trainable(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
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
