"""Pruning by optimal brain surgery, column by column."""

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import LayerwiseCriterion, Quota
from secateur.pruning.selection import layer_counts


class SparseGPT(LayerwiseCriterion):
    """Optimal brain surgery in one pass over the columns (Frantar and Alistarh, 2023, "SparseGPT", algorithm 1).

    With H = E[x x^T] + `--damping` * mean(diag H) of a layer's inputs x, each weight that is pruned costs
    w^2 / [H^-1]_jj, and those of its output that are still to come make up for it exactly: w -= w_j / [H^-1]_jj *
    [H^-1]_j, H^-1 that of the columns from j on, whose rows are those of the Cholesky factor of H^-1. Of each block of
    `--obs_block` columns the same share goes, chosen when the block is reached; with `--pattern` a group is a block.
    """

    needs_moments = True
    damping: float = option(
        0.01, "added to the diagonal of the inputs' second moments, as a fraction of its mean", low=0, above=True
    )
    obs_block: int = option(
        128, "number of columns of a layer in which weights are compared with each other", low=1, metavar="COLUMNS"
    )

    def matrix_scores(self, weight: Tensor, inputs: InputStatistics) -> Tensor:
        """w^2 / [H^-1]_jj."""
        return weight.square() / inputs.inverse(self.damping).diagonal(dim1=1, dim2=2)[:, None]

    def prune_matrix(self, weight: Tensor, inputs: InputStatistics, quota: Quota) -> tuple[Tensor, Tensor]:
        """Go through the columns, block by block."""
        rows = torch.linalg.cholesky(inputs.inverse(self.damping), upper=True)
        weight, mask = weight.clone(), torch.zeros_like(quota.alive)
        blocks = list(quota.blocks(self.obs_block))
        alive = {block: int(quota.alive[..., slice(*block)].sum()) for block in blocks}
        shapes = {block: quota.alive[..., slice(*block)].shape for block in blocks}
        counts = layer_counts(shapes, quota.keep, "uniform", alive)
        for first, end in blocks:
            costs = (weight[..., first:end] / rows.diagonal(dim1=1, dim2=2)[:, None, first:end]).square()
            kept = self.chosen(costs, quota.of_block(first, end, counts[first, end]))
            errors = torch.zeros_like(costs)
            for j in range(first, end):
                lost = weight[..., j].masked_fill(kept[..., j - first], 0) / rows[:, None, j, j]
                weight[..., j:end] -= lost[..., None] * rows[:, None, j, j:end]
                errors[..., j - first] = lost
            weight[..., end:] -= errors @ rows[:, first:end, end:]
            mask[..., first:end] = kept
        return weight, mask
