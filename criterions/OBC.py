"""Pruning by optimal brain surgery, weight by weight."""

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.criterions.SparseGPT import SparseGPT
from secateur.pruning.fitting import solved
from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import Quota

#: So many numbers of inverses are in memory at a time, one of each output.
MOST_NUMBERS = 2**24


class OBC(SparseGPT):
    """The exact greedy form (Frantar and Alistarh, 2022, "Optimal Brain Compression", algorithms 1 and 2).

    Each output loses one weight after another, that of the smallest w^2 / [H^-1]_pp, and all others of it make up for
    it: w -= w_p / [H^-1]_pp * [H^-1]_p, H^-1 -= [H^-1]_p [H^-1]_p^T / [H^-1]_pp. Which outputs lose how many weights,
    the costs say: the cheapest next one of the layer goes. H is SparseGPT's, and so is what happens to layers of more
    than `--obc_columns` columns, for which this takes too long: outputs * columns^3.
    """

    obc_columns: int = option(
        300,
        "largest number of columns (inputs * kernel positions) of a layer that OBC prunes; wider ones are pruned by "
        "SparseGPT",
        low=1,
    )

    def prune_matrix(self, weight: Tensor, inputs: InputStatistics, quota: Quota) -> tuple[Tensor, Tensor]:
        """Order the weights of each output, keep the costliest of the layer, and solve for what they become."""
        if weight.shape[-1] > self.obc_columns:
            return super().prune_matrix(weight, inputs, quota)
        inverse = inputs.inverse(self.damping).repeat_interleave(weight.shape[1], 0)  # (G R, F, F)
        at_once = max(MOST_NUMBERS // inverse[0].numel(), 1)
        parts = zip(
            *(one.split(at_once) for one in (weight.flatten(0, 1), inverse, quota.alive.flatten(0, 1))), strict=True
        )
        scores = torch.cat([self.removal_costs(*part, quota) for part in parts]).view(weight.shape)
        kept = self.chosen(scores, quota)
        moments = inputs.damped(self.damping)
        found = [solved(*system, ridge=0) for system in zip(moments, weight @ moments, kept, strict=True)]
        return torch.stack(found), kept

    def removal_costs(self, weight: Tensor, inverse: Tensor, alive: Tensor, quota: Quota) -> Tensor:
        """Remove all weights (R, F), or as many of each group as the pattern says, by their inverses (R, F, F).

        Returns what each costs, or the costliest before it; those that a pattern keeps cost more than any.
        """
        weight, inverse, rows = weight.clone(), inverse.clone(), torch.arange(len(weight), device=weight.device)
        gone = torch.zeros_like(alive)
        group = quota.group_of_column()
        keep = quota.pattern[0] if quota.pattern else 0
        costs, most = torch.full_like(weight, torch.inf), torch.zeros_like(weight[:, 0])
        for _ in range(weight.shape[1]):
            diagonal = inverse.diagonal(dim1=1, dim2=2)
            price = weight.square() / diagonal
            price = price.masked_fill(~alive, -1).masked_fill(gone | self._full(gone, group, keep), torch.inf)
            cost, place = price.min(1)
            some = cost.isfinite()
            if not some.any():
                break
            most = torch.where(some, torch.maximum(most, cost), most)
            costs[rows[some], place[some]] = most[some]
            row = inverse[rows, place] * some[:, None]
            pivot = diagonal[rows, place]
            weight -= (weight[rows, place] / pivot)[:, None] * row
            inverse.baddbmm_(row[:, :, None], row[:, None] / pivot[:, None, None], alpha=-1)
            gone[rows[some], place[some]] = True
            inverse[rows[some], place[some], place[some]] = 1  # what is gone has no price
            weight.masked_fill_(gone, 0)
        return costs

    @staticmethod
    def _full(gone: Tensor, group: Tensor, keep: int) -> Tensor:
        """Where (R, F) the group of a weight has no more than `keep` weights left."""
        left = torch.zeros(len(gone), int(group.max()) + 1, device=gone.device).index_add_(1, group, (~gone).float())
        return left[:, group] <= keep
