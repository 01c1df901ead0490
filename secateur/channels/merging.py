"""Neuron merging: what a removed channel did is done by the most similar one that stays.

Kim et al., 2020, "Neuron Merging: Compensating for Pruned Neurons", sections 3.2 and 3.3. Written from the formulas: a
removed channel p and a kept one c, their filters w, s = |w_p| / |w_c|. If p's output is S times c's, a layer that reads
both loses nothing where S times its weights for p are added to those for c.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from secateur.channels.chains import Chain
from secateur.channels.filters import filters_of
from secateur.pruning.layers import inputs_first

#: The least cosine of two filters that are merged, without and with a norm: those of the paper's experiments.
THRESHOLD, THRESHOLD_WITH_NORM = 0.45, 0.1


class MergeOptions(Protocol):
    """What says how filters are merged, as `StructuredCriterion` does."""

    merge_threshold: float | None
    merge_lambda: float
    merge_formula: str


class Norm(NamedTuple):
    """A batch norm as numbers of each channel, (C,) each: y = scale * (x - mean) / sqrt(variance + eps) + shift."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor
    eps: float


class Partners(NamedTuple):
    """For each of R removed channels, which of the K kept ones stands in for it, and S; 0 where none does."""

    kept: Tensor
    scale: Tensor


def merge(network: nn.Module, chains: list[Chain], removed: Tensor, options: MergeOptions) -> dict[str, Tensor]:
    """Return what is to be added to the weight of each layer that reads the channels, as `removed` (R,) will go.

    The network stays as it is, so that all layers are merged by their own filters.
    """
    layer = network.get_submodule(chains[0].layer)
    filters = filters_of(layer).double()
    bias = torch.zeros_like(filters[:, 0]) if layer.bias is None else layer.bias.detach().double()
    staying = torch.ones(len(filters), dtype=torch.bool)
    staying[removed] = False
    kept = staying.nonzero().flatten()
    threshold = options.merge_threshold
    additions = {}
    for chain in chains:
        if chain.norm:
            norm = _norm_of(network, chain, bias)
            least = THRESHOLD_WITH_NORM if threshold is None else threshold
            partners = partners_behind_norm(
                filters, norm, kept, removed, least, options.merge_lambda, options.merge_formula
            )
        else:
            least = THRESHOLD if threshold is None else threshold
            partners = partners_of(torch.cat([filters, bias[:, None]], 1), kept, removed, least)
        reader = network.get_submodule(chain.reader)
        additions[chain.reader] = _folded(reader, chain.columns, kept[partners.kept.cpu()], removed, partners.scale)
    return additions


def partners_of(rows: Tensor, kept: Tensor, removed: Tensor, threshold: float) -> Partners:
    """Choose by the cosine of `rows` (C, F), filter and bias: S = s where it is at least `threshold` (algorithm 1)."""
    sizes = rows.norm(dim=1)
    cosines = _cosines(rows, kept, removed)
    nearest = cosines.argmax(1)
    scale = sizes[removed] / sizes[kept][nearest]
    return _accepted(nearest, scale, cosines, threshold)


def partners_behind_norm(
    filters: Tensor, norm: Norm, kept: Tensor, removed: Tensor, threshold: float, balance: float, formula: str
) -> Partners:
    """Choose by the cosine of `filters` (C, F) and by what batch norm makes of them (algorithm 2).

    Behind the norm p's output is S times c's plus B if w_p = s w_c. The partner is the c with the least
    balance (1 - cosine) + (1 - balance) |B| / S, the latter brought into [0, 1] over all c; B itself is lost.
    """
    sizes = filters.norm(dim=1)
    cosines = _cosines(filters, kept, removed)
    slope, offset = affine_behind_norm(sizes[removed][:, None] / sizes[kept], norm, kept, removed, formula)
    # A ReLU does not let a negative multiple through.
    possible = (slope > 0) & slope.isfinite() & offset.isfinite()
    distance = (offset.abs() / slope).masked_fill(~possible, torch.nan)
    low = distance.nan_to_num(torch.inf).amin(1, keepdim=True)
    span = distance.nan_to_num(-torch.inf).amax(1, keepdim=True) - low
    share = torch.where(span > 0, (distance - low) / span, 0)  # all alike: the cosine decides
    distance = (balance * (1 - cosines) + (1 - balance) * share).masked_fill(~possible, torch.inf)
    nearest = distance.argmin(1)
    scale = slope.masked_fill(~possible, 0).gather(1, nearest[:, None])[:, 0]
    return _accepted(nearest, scale, cosines, threshold)


def affine_behind_norm(ratio: Tensor, norm: Norm, kept: Tensor, removed: Tensor, formula: str) -> tuple[Tensor, Tensor]:
    """Return S and B, (R, K) like `ratio`, s: behind the norm p = S c + B where p = s c before it.

    "algebraic" is what solves the equations of the norm. "published" is what the authors' experiments were run with:
    p and c have changed places, and the variance stands where its root belongs; on the networks of the paper, whose
    filters are not multiples of each other, it happens to do better.
    """
    scale, shift, mean = norm.scale, norm.shift, norm.mean
    if formula == "algebraic":
        one, other, spread = removed[:, None], kept[None], (norm.variance + norm.eps).sqrt()
    else:
        one, other, spread = kept[None], removed[:, None], norm.variance
    slope = ratio * (scale[one] / scale[other]) * (spread[other] / spread[one])
    inner = ratio * (mean[other] - spread[other] * shift[other] / scale[other]) - mean[one]
    return slope, scale[one] / spread[one] * inner + shift[one]


def _cosines(rows: Tensor, kept: Tensor, removed: Tensor) -> Tensor:
    """(R, K); 0 where a row is zero."""
    unit = nn.functional.normalize(rows, dim=1)
    return unit[removed] @ unit[kept].T


def _accepted(nearest: Tensor, scale: Tensor, cosines: Tensor, threshold: float) -> Partners:
    enough = (cosines.gather(1, nearest[:, None])[:, 0] >= threshold) & scale.isfinite()
    return Partners(nearest, torch.where(enough, scale, 0))


def _norm_of(network: nn.Module, chain: Chain, bias: Tensor) -> Norm:
    """The norm's numbers in the layer's order of channels; the layer's bias is part of the mean."""
    name, places = chain.norm
    norm = network.get_submodule(name)
    mean, variance = norm.running_mean.double()[places] - bias, norm.running_var.double()[places]
    if norm.affine:
        scale, shift = norm.weight.detach().double()[places], norm.bias.detach().double()[places]
    else:
        scale, shift = torch.ones_like(mean), torch.zeros_like(mean)
    return Norm(scale, shift, mean, variance, norm.eps)


def _folded(reader: nn.Module, columns: Tensor, partners: Tensor, removed: Tensor, scale: Tensor) -> Tensor:
    """S times what the reader's weight has for removed channels, where it has what it has for their partners."""
    sources = inputs_first(reader, reader.weight.detach())
    added = torch.zeros_like(sources)
    for column in columns.T.to(added.device):  # one column of each channel
        moved = sources[column[removed]] * scale.to(added.dtype).view(-1, *[1] * (added.dim() - 1))
        added.index_add_(0, column[partners], moved)
    return inputs_first(reader, added)
