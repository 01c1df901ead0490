"""The base of criteria that prune layer by layer, by the inputs that each layer gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.pruning.criterion import Criterion
from secateur.pruning.layer_inputs import (
    InputStatistics,
    as_matrix,
    exact,
    from_matrix,
    input_statistics,
    see_inputs,
    unseen_statistics,
)
from secateur.pruning.plan import PruningStep
from secateur.pruning.saliency import Batch
from secateur.pruning.selection import count_true, keep_largest, layer_counts, select_in_groups
from secateur.utils.errors import UserError


@dataclass(frozen=True)
class Quota:
    """Which weights of a layer can be kept, (G, R, F), and how many are."""

    alive: Tensor
    keep: int
    #: (N, M) where N of M inputs beside each other are kept, which `inputs` columns of a place of the kernel hold.
    pattern: tuple[int, int] | None
    inputs: int

    def blocks(self, size: int) -> Iterator[tuple[int, int]]:
        """The first column and the one after the last of each block: groups of the pattern, or of `size` columns."""
        columns = self.alive.shape[-1]
        place, step = (self.inputs, self.pattern[1]) if self.pattern else (columns, size)
        for start in range(0, columns, place):
            for first in range(start, start + place, step):
                yield first, min(first + step, start + place)

    def group_of_column(self) -> Tensor:
        """The number of the pattern's group that each column is in, (F,); all in one where there is no pattern."""
        numbers = torch.zeros(self.alive.shape[-1], dtype=torch.long, device=self.alive.device)
        for number, (first, end) in enumerate(self.blocks(1) if self.pattern else ()):
            numbers[first:end] = number
        return numbers

    def of_block(self, first: int, end: int, keep: int) -> Quota:
        """Those of the columns of a block."""
        return Quota(self.alive[..., first:end], keep, self.pattern, end - first)


class LayerwiseCriterion(Criterion):
    """Base of the criteria of trained networks that look at each layer's inputs on the calibration batches.

    Each layer is pruned just before it runs, so that the next one sees what the pruned ones before it give; how many of
    its weights stay, `--distribution` says first, by the scores of the layers as they are. The calibration batches are
    the `--saliency_batches`; of a layer that is used several times the first use counts. Most subclasses define
    `matrix_scores` alone, and those that change weights `prune_matrix`.
    """

    distribution = "uniform"
    #: What is ranked together within a layer: all of its weights, "layer", or those of each "output".
    compared: str = "layer"
    #: Whether the second moments of a layer's inputs are needed.
    needs_moments: bool = False
    #: The calibration images (B, C, H, W), while a pruning step is made.
    images: Tensor | None = None

    def matrix_scores(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """Return the scores of a layer's weights, both (G, R, F) in float64 as `layer_inputs` has them."""
        raise NotImplementedError(f"{type(self).__name__} has no method matrix_scores(weight, inputs)")

    def prune_matrix(self, weight: Tensor, inputs: InputStatistics, quota: Quota) -> tuple[Tensor, Tensor]:
        """Return a layer's weights as they are to become, and which are kept, both (G, R, F)."""
        return weight, self.chosen(self.matrix_scores(weight, inputs), quota)

    def chosen(self, scores: Tensor, quota: Quota) -> Tensor:
        """Mark the weights of the largest scores (G, R, F), as many as the quota says; of equal ones the first."""
        scores = (-scores if self.invert_scores else scores).masked_fill(~quota.alive, -torch.inf)
        if quota.pattern:
            keep, group = quota.pattern
            places = scores.flatten(0, 1).unflatten(1, (-1, quota.inputs)).movedim(-1, 1)  # (G R, I, places)
            return select_in_groups({"": places}, keep, group)[""].movedim(1, -1).reshape(scores.shape)
        if self.compared == "layer":
            return keep_largest(scores, quota.keep)
        rows = scores.flatten(0, 1)
        alive = dict(enumerate(quota.alive.flatten(0, 1).sum(1).tolist()))
        counts = layer_counts(dict.fromkeys(alive, rows.shape[1:]), quota.keep, "uniform", alive)
        order = rows.argsort(dim=1, descending=True, stable=True)
        first = torch.arange(rows.shape[1]) < torch.tensor([counts[row] for row in alive])[:, None]
        return torch.zeros_like(rows, dtype=torch.bool).scatter_(1, order, first.to(rows.device)).view(scores.shape)

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The scores of all layers, as the network is now."""
        if self.images is None:
            self.images = calibration_images(batches)
        found = {}

        def score(name: str, layer: nn.Module, inputs: InputStatistics) -> None:
            found[name] = from_matrix(layer, self.matrix_scores(exact(as_matrix(layer)), inputs))

        self._each_layer(score)
        return {name: found[name].to(weight.device) for name, weight in self.weights.items()}

    def select(self, scores: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        """Prune the layers one after another, each to as many weights as it would keep by these scores."""
        wanted = super().select(scores, keep)
        before, masks = self.kept(), {}
        density = keep / sum(score.numel() for score in scores.values())
        pattern = self.pattern_at(density) if self.group_pattern else None

        def prune(name: str, layer: nn.Module, inputs: InputStatistics) -> None:
            weight, alive = exact(as_matrix(layer)), as_matrix(layer, before[name])
            quota = Quota(alive.to(weight.device), count_true(wanted[name]), pattern, _inputs_of(layer))
            weight, mask = self.prune_matrix(weight, inputs, quota)
            masks[name] = from_matrix(layer, mask & quota.alive).to(layer.weight.device)
            layer.weight.copy_(from_matrix(layer, weight * mask))

        self._each_layer(prune)
        return {name: masks[name] for name in scores}

    @torch.no_grad()
    def _each_layer(self, do: Callable[[str, nn.Module, InputStatistics], None]) -> None:
        """Call `do` with each layer's name, the layer, and the statistics of its inputs, before it runs."""
        left = dict.fromkeys(self.weights)

        def see(name: str, layer: nn.Module, inputs: Tensor) -> None:
            if name in left:
                del left[name]
                do(name, layer, input_statistics(name, layer, inputs, moments=self.needs_moments))

        see_inputs(self.network, list(left), self.images, see)
        for name in left:
            layer = self.network.get_submodule(name)
            do(name, layer, unseen_statistics(layer))

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningStep:
        """Prune as every criterion does, and let go of the images."""
        self.images = None
        try:
            return super().prune(sparsity, batches, epoch, last)
        finally:
            self.images = None


def calibration_images(batches: Iterable[Batch]) -> Tensor:
    """The images (B, C, H, W) of all batches; raises `UserError` where there are none."""
    images = [inputs for inputs, _ in batches]
    if not images:
        raise UserError("scores are computed on batches of training data, and there are none: give batches=")
    return torch.cat(images)


def _inputs_of(layer: nn.Module) -> int:
    """How many inputs a group of the layer has: columns of one place of the kernel."""
    return getattr(layer, "in_features", 0) or layer.in_channels // layer.groups
