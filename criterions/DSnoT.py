"""Pruning by weights and activations, with exchanges that keep the mean outputs."""

import torch
from torch import Tensor

from secateur.config.option import option
from secateur.criterions.Wanda import Wanda
from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import Quota


class DSnoT(Wanda):
    """Dynamic sparse no training (Zhang et al., 2024, "Training-free fine-tuning for sparse LLMs", section 3.2).

    Begins with Wanda's mask. e, the sum of w_i E[x_i] over the pruned weights of an output, is what its mean has lost.
    In each cycle an output regrows the pruned weight of the largest sign(e) w_i E[x_i] / Var[x_i], and prunes that of
    the smallest |w_j| * ||x_j|| among the kept ones with sign(e) w_j E[x_j] < 0; with `--pattern` of the same group. It
    ends where |e| is at most `--dsnot_threshold` or e has changed its sign, after `--dsnot_cycles` at the latest.
    """

    dsnot_cycles: int = option(50, "largest number of exchanges for each output", low=0)
    dsnot_threshold: float = option(0.1, "tolerated change of an output's mean", low=0)

    def prune_matrix(self, weight: Tensor, inputs: InputStatistics, quota: Quota) -> tuple[Tensor, Tensor]:
        """Exchange weights of Wanda's mask."""
        mask = super().prune_matrix(weight, inputs, quota)[1].flatten(0, 1)  # (G R, F)
        sizes, alive = self.matrix_scores(weight, inputs).flatten(0, 1), quota.alive.flatten(0, 1)
        shifts = (weight * inputs.mean[:, None]).flatten(0, 1)
        variances = (inputs.square - inputs.mean.square()).clamp(min=1e-12)
        gains = (weight * (inputs.mean / variances)[:, None]).flatten(0, 1)
        group, rows = quota.group_of_column(), torch.arange(len(mask), device=mask.device)
        lost = (shifts * ~mask).sum(1)
        sign = lost.sign()
        for _ in range(self.dsnot_cycles):
            gain, grown = (sign[:, None] * gains).masked_fill(mask | ~alive, -torch.inf).max(1)
            fitting = mask & (sign[:, None] * shifts < 0) & (group == group[grown][:, None])
            size, pruned = sizes.masked_fill(~fitting, torch.inf).min(1)
            goes_on = (lost.abs() > self.dsnot_threshold) & (lost.sign() == sign) & (gain > 0) & size.isfinite()
            if not goes_on.any():
                break
            some, grown, pruned = rows[goes_on], grown[goes_on], pruned[goes_on]
            mask[some, grown], mask[some, pruned] = True, False
            lost[some] += shifts[some, pruned] - shifts[some, grown]
        return weight, mask.view(weight.shape)
