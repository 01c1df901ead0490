"""Least squares: layers that lose inputs are fitted anew to what they gave before.

As in channel pruning by reconstruction (He et al., 2017, "Channel Pruning for Accelerating Very Deep Neural Networks",
section 3.1, its second step), here for whatever was chosen to go.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.utils.modes import evaluation_mode

#: At most so many places of the layer's outputs are looked at, and so many images unfolded at once.
MAX_ROWS, CHUNK = 10_000, 32
#: How much a change of the weights costs, relative to the mean square of the inputs.
RIDGE = 1e-4


@torch.no_grad()
def sampled_outputs(network: nn.Module, names: Iterable[str], images: Tensor) -> dict[str, list[Tensor]]:
    """Return what the named layers give on `images` (B, C, H, W), at the places that `refit` looks at."""
    wanted = {}

    def remember(name: str, layer: nn.Module, inputs: Tensor) -> None:
        wanted[name] = [_outputs(layer, rows) for rows in _rows(name, layer, inputs)]

    _see_inputs(network, names, images, remember)
    return wanted


@torch.no_grad()
def refit(network: nn.Module, removed: dict[str, Tensor], images: Tensor, wanted: dict[str, list[Tensor]]) -> None:
    """Change weights and biases of layers in place, so that on `images` they give what is `wanted` of them again.

    `removed` says which inputs (C,) each Linear layer or 2-d convolution is about to lose, True where lost; those
    weights become zero. Minimised, over the inputs that stay, is

        |wanted - X_kept A' - a|^2 + ridge |A - W_kept|^2,

    which is never more than what removal alone leaves of it. X_kept is what the layer gets when all layers before it
    have lost their inputs and been fitted: in a single pass of all images each layer is fitted just before it runs.
    """

    def fit(name: str, layer: nn.Module, inputs: Tensor) -> None:
        _fit(layer, removed[name], _rows(name, layer, inputs), wanted[name])

    for name, lost in removed.items():
        weight = network.get_submodule(name).weight
        weight[:, lost.to(weight.device)] = 0
    _see_inputs(network, removed, images, fit)


def _see_inputs(
    network: nn.Module, names: Iterable[str], images: Tensor, see: Callable[[str, nn.Module, Tensor], None]
) -> None:
    """Run the network, and let `see` have the inputs of each named layer before it runs."""
    handles = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda layer, inputs, name=name: see(name, layer, inputs[0])
        )
        for name in names
    ]
    try:
        with evaluation_mode(network):
            network(images)
    finally:
        for handle in handles:
            handle.remove()


def _rows(name: str, layer: nn.Module, inputs: Tensor) -> Iterator[Tensor]:
    """Yield parts of X, (rows, F), whose products with the weight (O, F) are outputs; the same for the same name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    images = inputs[:MAX_ROWS]
    for part in images.split(CHUNK):
        if isinstance(layer, nn.Linear):
            places = part.reshape(len(part), -1, part.shape[-1])
        else:
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            padded = functional.pad(part, layer._reversed_padding_repeated_twice, mode=mode)
            unfolded = functional.unfold(padded, layer.kernel_size, layer.dilation, stride=layer.stride)
            places = unfolded.transpose(1, 2)  # (B, H * W, F)
        number = max(MAX_ROWS // len(images), 1)
        if places.shape[1] > number:
            chosen = torch.randperm(places.shape[1], generator=generator)[:number]
            places = places[:, chosen.to(places.device)]
        yield places.flatten(0, 1)


def _outputs(layer: nn.Module, rows: Tensor) -> Tensor:
    return functional.linear(rows, layer.weight.flatten(1), layer.bias)


def _fit(layer: nn.Module, removed: Tensor, parts: Iterator[Tensor], wanted: list[Tensor]) -> None:
    """Change the layer so that it gives what is `wanted`, by the normal equations of the change, in float64."""
    kept = (~removed).repeat_interleave(layer.weight[0, 0].numel()).to(layer.weight.device)
    gram, moment = 0, 0
    for rows, target in zip(parts, wanted, strict=True):
        missing = _exact(target - _outputs(layer, rows))
        inputs = _exact(rows[:, kept])
        if layer.bias is not None:
            inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        gram, moment = gram + inputs.T @ inputs, moment + inputs.T @ missing
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(gram)
    change = torch.cholesky_solve(moment, factor).T  # (O, F + 1)
    if failed or not change.isfinite().all():
        return  # all inputs are zero, or infinite: nothing to fit
    change = change.to(layer.weight)
    if layer.bias is not None:
        layer.bias.add_(change[:, -1])
        change = change[:, :-1]
    weight = layer.weight.flatten(1)
    weight[:, kept] += change
    layer.weight.copy_(weight.view_as(layer.weight))  # in another memory format it was no view


def _exact(numbers: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return (numbers.cpu() if numbers.device.type == "mps" else numbers).double()
