"""A narrower network: the control of every pruned one."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from secateur.channels.surgery import Surgery
from secateur.pruning.layers import outputs_first, prunable_layers
from secateur.pruning.plan import PruningStep
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class Narrower(StructuredCriterion):
    """Makes the network narrower before training: every layer loses the same fraction of its channels.

    What is left is a dense network of the same family, a control that pruning must beat (Liu et al., 2019, "Rethinking
    the Value of Network Pruning"). `--target params=N` or `flops=N` says how small. Layers are narrowed in turns, one
    channel at a time, so that their fractions differ by less than a channel. The initial weights of each layer are
    multiplied by sqrt(inputs before / inputs after): its outputs keep the variance that the initialisation gave them.
    """

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """No channel of an untrained network is better than another."""
        return {root: torch.zeros(group.channels) for root, group in self.groups.items()}

    def unit_scores(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """The place of each unit in its group, as a fraction: the last ones go first."""
        counts = {root: len(group.units) for root, group in self.groups.items()}
        return {root: 1 - (torch.arange(count) + 0.5) / count for root, count in counts.items()}

    def remove_by(
        self, scores: dict[str, Tensor], surgery: Surgery, batches: Iterable[Batch], sparsity: float, epoch: int = 0
    ) -> PruningStep:
        """Remove channels, then let each layer's weights grow by what it has lost in inputs."""
        before = self._inputs()
        step = super().remove_by(scores, surgery, batches, sparsity, epoch)
        layers, after = prunable_layers(self.network), self._inputs()
        with torch.no_grad():
            for name, inputs in after.items():
                layers[name].weight.mul_((before[name] / inputs) ** 0.5)
        return step

    def _inputs(self) -> dict[str, Any]:
        """How many weights each output of each layer has."""
        return {name: outputs_first(layer)[0].numel() for name, layer in prunable_layers(self.network).items()}
