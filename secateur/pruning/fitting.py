"""Least squares: a layer is fitted, on rows of its inputs, to what it is to give, by the weights that it has left."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from secateur.pruning.layer_inputs import exact, sampled_rows, see_inputs
from secateur.pruning.layers import outputs_first

#: How much a change of the weights costs, relative to the mean square of the inputs.
RIDGE = 1e-4
#: So many numbers of systems of equations are in memory at a time.
MOST_NUMBERS = 2**24


@torch.no_grad()
def sampled_outputs(network: nn.Module, names: Iterable[str], images: Tensor) -> dict[str, list[Tensor]]:
    """Return what the named layers give on `images` (B, C, H, W), at the places of `sampled_rows`: parts (rows, O)."""
    wanted = {}

    def remember(name: str, layer: nn.Module, inputs: Tensor) -> None:
        wanted[name] = [outputs_of(layer, rows) for rows in sampled_rows(name, layer, inputs)]

    see_inputs(network, names, images, remember)
    return wanted


def outputs_of(layer: nn.Module, rows: Tensor) -> Tensor:
    """What a layer gives (rows, O) for rows of its inputs (rows, G, F)."""
    weight = outputs_first(layer).flatten(1).unflatten(0, (rows.shape[1], -1))
    outputs = (rows.transpose(0, 1) @ weight.mT).transpose(0, 1).flatten(1)
    return outputs if layer.bias is None else outputs + layer.bias


def squared_error(layer: nn.Module, parts: Iterable[Tensor], wanted: Iterable[Tensor]) -> float:
    """The sum of the squares of what is missing of `wanted`."""
    errors = [
        exact(target - outputs_of(layer, rows)).square().sum() for rows, target in zip(parts, wanted, strict=True)
    ]
    return float(torch.stack(errors).sum())


@torch.no_grad()
def fit(layer: nn.Module, kept: Tensor, parts: list[Tensor], wanted: list[Tensor]) -> None:
    """Change the kept weights of a layer, and its bias, so that it gives what is `wanted`, in place.

    `kept` is a boolean tensor of the weight's shape, `parts` are rows of the inputs (rows, G, F) and `wanted` outputs
    (rows, O). Minimised, in float64 by the normal equations of the change, is

        |wanted - X W' - b'|^2 + ridge |W' - W|^2.

    Where that does not lower the squared error, nothing is changed.
    """
    groups = parts[0].shape[1]
    own = outputs_first(layer, kept).flatten(1).unflatten(0, (groups, -1))
    gram, moments = 0, 0
    for rows, target in zip(parts, wanted, strict=True):
        missing = exact(target - outputs_of(layer, rows)).unflatten(1, (groups, -1)).transpose(0, 1)
        inputs = exact(rows).transpose(0, 1)  # (G, rows, F)
        if layer.bias is not None:
            inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], 2)
        gram, moments = gram + inputs.mT @ inputs, moments + missing.mT @ inputs
    if layer.bias is not None:
        own = torch.cat([own, torch.ones_like(own[..., :1])], 2)
    own = own.to(gram.device)
    change = torch.stack([solved(*system) for system in zip(gram, moments, own, strict=True)]).flatten(0, 1)
    before = {parameter: parameter.clone() for parameter in (layer.weight, layer.bias) if parameter is not None}
    error = squared_error(layer, parts, wanted)
    if layer.bias is not None:
        layer.bias.add_(change[:, -1].to(layer.bias))
        change = change[:, :-1]
    rows = outputs_first(layer)
    layer.weight.add_(outputs_first(layer, change.reshape(rows.shape)).to(layer.weight))
    if not squared_error(layer, parts, wanted) <= error:
        for parameter, values in before.items():
            parameter.copy_(values)


def solved(gram: Tensor, moments: Tensor, kept: Tensor, ridge: float = RIDGE) -> Tensor:
    """Solve (gram + ridge) a = m for each row of `moments` (R, F), within its `kept` (R, F) numbers; others are zero.

    `ridge` is relative to the mean of the diagonal.
    Rows that keep the same are solved together. Where there is no solution, as with infinite numbers, it is zero.
    """
    alike = bool((kept == kept[:1]).all())
    supports = kept[:1] if alike else kept
    size = int(supports.sum(1).max())
    found = torch.zeros_like(moments)
    if not size:
        return found
    at_once = max(MOST_NUMBERS // size**2, 1)
    for first in range(0, len(supports), at_once):
        some = supports[first : first + at_once]
        columns = some.byte().argsort(descending=True, stable=True)[:, :size]
        there = some.gather(1, columns)
        systems = gram[columns[:, :, None], columns[:, None]] * (there[:, :, None] & there[:, None])
        diagonal = systems.diagonal(dim1=1, dim2=2)
        mean = diagonal.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        diagonal += torch.where(there, ridge * mean, 1)
        factors, failed = torch.linalg.cholesky_ex(systems)
        if alike:
            right = moments[:, columns[0]].T[None]
            solution = torch.cholesky_solve(right, factors)[0].T
            usable = ~failed.bool() & solution.isfinite().all()
            found[:, columns[0]] = torch.where(usable, solution, 0)
        else:
            right = (moments[first : first + at_once].gather(1, columns) * there)[..., None]
            solution = torch.cholesky_solve(right, factors)[..., 0]
            usable = ~failed.bool() & solution.isfinite().all(1)
            found[first : first + at_once].scatter_(1, columns, torch.where(usable[:, None], solution, 0))
    return found
