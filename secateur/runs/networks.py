"""Builds a network from its class and checks that it takes the data."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from secateur.config.option import options_of
from secateur.config.settings import Settings
from secateur.runs.failures import is_out_of_memory
from secateur.utils.errors import UserError, one_line, raised_at
from secateur.utils.memory import free_memory


def network_options(build: Callable[..., nn.Module], settings: Settings) -> dict[str, Any]:
    """Return the constructor's own parameters that the settings have a value for: its class's options, and hidden_dim.

    Raises `UserError` where `--hidden_dim` was given to a network that has none.
    """
    flags = {name: option.flag for name, option in options_of(build).items()} if inspect.isclass(build) else {}
    flags["hidden_dim"] = "hidden_dim"
    names = [name for name in inspect.signature(build).parameters if name in flags]
    if settings["hidden_dim"] is not None and "hidden_dim" not in names:
        raise UserError(f"--hidden_dim: {settings['model']} has no hidden width to set")
    return {name: value for name in names if (value := settings[flags[name]]) is not None}


def build_network(
    build: Callable[..., nn.Module], name: str, input_shape: tuple[int, int, int], num_classes: int, options: dict
) -> nn.Module:
    """Build a network and pass two images through it, for testing and for training.

    Raises `UserError` where it does not take images of that shape, or does not return one logit a class.
    """
    shape = "x".join(map(str, input_shape))
    larger = next((size for size in (32, 64, 224) if size > max(input_shape[1:])), None)
    hint = f"; try larger images, as by --input_dim {input_shape[0]} {larger} {larger}" if larger else ""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The error that follows says more than this warning.
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            network = build(input_shape=input_shape, num_classes=num_classes, **options)
            outputs = [network.eval()(torch.zeros(2, *input_shape)), _in_training(network, input_shape)]
    except UserError:
        raise
    except Exception as error:  # of the network's own code
        if is_out_of_memory(error):
            raise
        reason = one_line(error, 300) + (
            raised_at(error, inspect.getsourcefile(build)) if inspect.isclass(build) else ""
        )
        raise UserError(f"{name} does not work on images of {shape}: {reason}{hint}") from error
    for logits, when in zip(outputs, ("", " in training"), strict=True):
        if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            wanted = f"instead of logits (2, {num_classes})"
            raise UserError(f"{name} returns {found} for two images of {shape} {wanted}{when}")
    return network


def check_size(
    build: Callable[..., nn.Module], name: str, input_shape: tuple[int, int, int], num_classes: int, options: dict
) -> None:
    """Refuse, as `UserError`, a network that is larger than the free memory, before any is taken."""
    try:
        with torch.device("meta"):
            network = build(input_shape=input_shape, num_classes=num_classes, **options)
        tensors = [*network.parameters(), *network.buffers()]
    except Exception:  # of the network's own code, which `build_network` reports
        return
    needed, free = sum(tensor.nbytes for tensor in tensors), free_memory(torch.device("cpu"))
    if needed > free:
        raise UserError(f"{name} takes {needed:,} bytes, and {free:,} bytes of memory are free")


def _in_training(network: nn.Module, input_shape: tuple[int, int, int]) -> Any:
    """What the network returns in training mode; its running statistics and the random numbers stay as they are."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        outputs = network.train()(torch.zeros(2, *input_shape))
    for name, buffer in network.named_buffers():
        buffer.copy_(before[name])
    return outputs
