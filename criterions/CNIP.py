"""Single-shot pruning of weights and channels on one scale."""

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from secateur.criterions.SNAP import SNAP
from secateur.criterions.SNIP import SNIP
from secateur.pruning.build import split_options
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Plan, PruningStep, Timeline
from secateur.pruning.saliency import Batch, LossFunction
from secateur.pruning.selection import count_true, keep_largest


class CNIP(SNAP):
    """SNIP and SNAP combined (Verdenius et al., 2020, "Pruning via Iterative Ranking", the program's class CNIP).

    Weights, by SNIP's score, and units, by SNAP's, both of the mean loss over the batches, are ranked together: one
    threshold for `--pruning_limit` of all of them. The fraction of the weights below it is masked, then the fraction of
    the units below it is removed. Weights that go with their unit are not counted beforehand, so that more than the
    limit goes in all; of several steps, each looks at what is left. SNIP-it's program looks at the sparsity of the
    weights alone before training and of the units alone during it.
    """

    def __init__(
        self, network: nn.Module, masks: Masks, loss: LossFunction, prunable: Iterable[str], **options: Any
    ) -> None:
        super().__init__(network, masks, loss, prunable, **options)
        of_weights, _ = split_options(SNIP, options)
        self.snip = SNIP(network, masks, loss, self.weights, **of_weights)
        self.dense_weight_count = sum(weight.numel() for weight in self.weights.values())

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect: unlike other criteria of channels it prunes weights too."""
        return {flag: why for flag, why in super().idle_options().items() if flag != "outer_layer_pruning"}

    def plan(self, timeline: Timeline) -> Plan:
        """Say when which sparsities are approached; raises `UserError` where no weights or channels can be pruned."""
        self.snip.plan(timeline)
        return super().plan(timeline)

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningStep:
        """Mask weights, then remove channels; returns the step of the channels, with that of the weights in it."""
        start = time.perf_counter()
        batches = list(batches)
        surgery = self.trace()
        weights, nodes = self.snip.scores(batches), self.channel_scores(batches)
        of_weights, of_nodes = self.fractions(weights, self.unit_scores(nodes), sparsity)
        masked = self.snip.prune_by(weights, of_weights, epoch, last)
        # As channels are counted: those that have been removed count too.
        masked.candidates, masked.sparsity = self.dense_weight_count, 1 - masked.kept / self.dense_weight_count
        step = self.remove_by(nodes, surgery, batches, of_nodes, epoch)
        step.weights, step.collapsed, step.seconds = masked, masked.collapsed, time.perf_counter() - start
        return step

    def fractions(self, weights: dict[str, Tensor], nodes: dict[str, Tensor], sparsity: float) -> tuple[float, float]:
        """Return which share of the weights that are there, and which of the nodes that there were, is to be gone.

        The scores are those of the weights and of the units of channels that are there, a unit counting as many nodes
        as go with it. With T weights and nodes in the dense network, the best round((1 - sparsity) * T) stay.
        """
        kept = self.kept()
        alive = {name: score.masked_fill(~kept[name], -torch.inf).flatten() for name, score in weights.items()}
        of_weights = torch.cat(list(alive.values()))
        of_nodes = torch.cat([score.repeat_interleave(self.groups[root].nodes) for root, score in nodes.items()])
        keep = round((1 - sparsity) * (self.dense_weight_count + self.dense_nodes))
        left = sum(count_true(mask) for mask in kept.values()) + len(of_nodes)
        stays = keep_largest(torch.cat([of_weights, of_nodes.to(of_weights.device)]), min(keep, left))
        weights_stay, nodes_stay = (count_true(part) for part in stays.split([len(of_weights), len(of_nodes)]))
        nodes_stay = nodes_stay * self.nodes / len(of_nodes)  # a node that goes with either of two units stands twice
        return 1 - weights_stay / len(of_weights), 1 - nodes_stay / self.dense_nodes
