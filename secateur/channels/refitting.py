"""Least squares: layers that lose inputs are fitted anew to what they gave before.

As in channel pruning by reconstruction (He et al., 2017, "Channel Pruning for Accelerating Very Deep Neural Networks",
section 3.1, its second step), here for whatever was chosen to go.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secateur.pruning.fitting import fit
from secateur.pruning.layer_inputs import sampled_rows, see_inputs


@torch.no_grad()
def refit(network: nn.Module, removed: dict[str, Tensor], images: Tensor, wanted: dict[str, list[Tensor]]) -> None:
    """Change weights and biases of layers in place, so that on `images` they give what is `wanted` of them again.

    `removed` says which inputs (C,) each Linear layer or 2-d convolution is about to lose, True where lost; those
    weights become zero. The error is never more than what removal alone leaves of it. What a layer gets is what it gets
    when all layers before it have lost their inputs and been fitted: in a single pass of all images each layer is
    fitted just before it runs.
    """

    def refit_layer(name: str, layer: nn.Module, inputs: Tensor) -> None:
        kept = ~removed[name].to(layer.weight.device)
        kept = kept.view(1, -1, *[1] * (layer.weight.dim() - 2)).expand_as(layer.weight)
        fit(layer, kept, list(sampled_rows(name, layer, inputs)), wanted[name])

    for name, lost in removed.items():
        weight = network.get_submodule(name).weight
        weight[:, lost.to(weight.device)] = 0
    see_inputs(network, removed, images, refit_layer)
