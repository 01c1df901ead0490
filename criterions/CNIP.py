"""Single-shot pruning of weights and channels on one scale."""

import argparse
import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from criterions.SNAP import SNAP
from criterions.SNIP import SNIP
from utils.pruning.criterion import PruningEvent
from utils.pruning.masks import Masks
from utils.pruning.moments import Plan, Timing
from utils.pruning.saliency import Batch, LossFunction
from utils.pruning.selection import keep_largest


class CNIP(SNAP):
    """SNIP and SNAP combined (Verdenius et al., 2020, "Pruning via Iterative Ranking", the program's class CNIP).

    Weights, by SNIP's score, and nodes, by SNAP's, compete with each other: one threshold for `--pruning_limit` of all
    of them. The share of the weights below it is masked, then the share of the nodes below it is removed. Weights that
    go with their node are not counted beforehand, so that more than the limit goes in all; of several steps, each looks
    at what is left. SNIP-it's program looks at the sparsity of the weights alone before training and of the nodes alone
    during it.
    """

    reads = ("outer_layer_pruning",)

    def __init__(
        self,
        network: nn.Module,
        masks: Masks,
        loss: LossFunction,
        competing: Iterable[str],
        arguments: argparse.Namespace,
    ) -> None:
        super().__init__(network, masks, loss, competing, arguments)
        self.snip = SNIP(network, masks, loss, self.weights, arguments)
        self.dense_weight_count = sum(weight.numel() for weight in self.weights.values())

    def plan(self, timing: Timing) -> Plan:
        """Say when which sparsities are approached; raises `UserError` where no weights or no nodes compete."""
        self.snip.plan(timing)
        return super().plan(timing)

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningEvent:
        """Mask weights, then remove channels; returns the event of the nodes, with that of the weights in it."""
        start = time.perf_counter()
        batches = list(batches)
        surgery = self.trace()
        weights, nodes = self.snip.scores(batches), self.channel_scores(batches)
        of_weights, of_nodes = self.shares(weights, self.unit_scores(nodes), sparsity)
        masked = self.snip.prune_by(weights, of_weights, epoch, last)
        # As nodes are counted: those that have been removed compete too.
        masked.competing, masked.sparsity = self.dense_weight_count, 1 - masked.kept / self.dense_weight_count
        event = self.remove_by(nodes, surgery, batches, of_nodes, epoch)
        event.weights, event.collapsed, event.seconds = masked, masked.collapsed, time.perf_counter() - start
        return event

    def shares(self, weights: dict[str, Tensor], nodes: dict[str, Tensor], sparsity: float) -> tuple[float, float]:
        """Return which share of the weights that are there, and which of the nodes that there were, is to be gone.

        The scores are those of the weights and of the units of channels that are there, a unit counting as many nodes
        as go with it. With T weights and nodes in the dense network, the best round((1 - sparsity) * T) stay.
        """
        kept = self.kept()
        alive = {name: score.masked_fill(~kept[name], -torch.inf).flatten() for name, score in weights.items()}
        of_weights = torch.cat(list(alive.values()))
        of_nodes = torch.cat([score.repeat_interleave(self.groups[root].nodes) for root, score in nodes.items()])
        keep = round((1 - sparsity) * (self.dense_weight_count + self.dense_nodes))
        left = sum(int(mask.sum()) for mask in kept.values()) + len(of_nodes)
        stays = keep_largest(torch.cat([of_weights, of_nodes.to(of_weights.device)]), min(keep, left))
        weights_stay, nodes_stay = (int(part.sum()) for part in stays.split([len(of_weights), len(of_nodes)]))
        return 1 - weights_stay / len(of_weights), 1 - nodes_stay / self.dense_nodes
