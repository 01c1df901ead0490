"""Pruning without any data."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from secateur.pruning.criterion import Criterion
from secateur.pruning.saliency import SCORE_MODES, Batch, ScoreMode


class SynFlow(ScoreMode, Criterion):
    """Iterative synaptic flow before training (Tanaka et al., 2020, "Pruning without any data", algorithm 1).

    score(w) = |dR/dw * w| where R is the sum of the outputs for an image of ones, in the network with all its tensors
    replaced by their absolute values. Without biases the scores of every layer have the same sum. 100 exponential
    steps, each with new scores, keep the smallest layers from being emptied. In float64: R overflows float32 in deep
    networks. Norms take their running statistics, as in the authors' program.
    """

    schedule = "exponential"
    snip_steps = 100

    def scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """|dR/dw * w|; the batches are not looked at beyond the shape of an image."""
        inputs, _targets = next(iter(batches))
        device = "cpu" if inputs.device.type == "mps" else inputs.device  # Apple's GPUs have no float64
        positive = copy.deepcopy(self.network).to(device, torch.float64)
        with torch.no_grad():
            for tensor in positive.state_dict().values():
                tensor.abs_()
        positive.requires_grad_(True)
        weights = {name: positive.get_submodule(name).weight for name in self.weights}
        ones = torch.ones(1, *inputs.shape[1:], dtype=torch.float64, device=device)
        with SCORE_MODES[self.score_mode](positive), torch.enable_grad():
            flow = positive(ones).sum()
            gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
        return {
            name: (gradient * weight).abs().to(inputs.device)
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
