"""torchvision's blocks of ShuffleNetV2, opened: lists of numbers shuffle the channels, so that each can go alone.

A shuffle that divides channels in two halves couples what stands in one place of each, as halves have to stay equal. A
few blocks with as many shuffles couple all channels of a stage. Lists of numbers say the same, and lose what goes.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from secateur.pruning.layers import NAMED
from secateur.utils.text import first_few


def open_shuffles(network: nn.Module) -> list[str]:
    """Open all blocks of torchvision's ShuffleNetV2, in place; returns what to tell the user.

    They compute what they did, with the same parameters and the same `state_dict`.
    """
    zoo = sys.modules.get("torchvision.models.shufflenetv2")  # where it was never imported, nothing is of it
    opened = [name for name, module in network.named_modules() if zoo and type(module) is zoo.InvertedResidual]
    for name in opened:
        _open(network.get_submodule(name))
    return [f"lists of numbers now shuffle the channels of {first_few(opened, NAMED)}"] if opened else []


def _open(block: nn.Module) -> None:
    beside = block.branch2[0].in_channels if block.stride == 1 else block.branch1[2].out_channels
    total = beside + block.branch2[5].out_channels
    block.__class__ = OpenShuffle
    device = block.branch2[0].weight.device
    numbers = {"order": torch.arange(total).view(2, -1).t().flatten()}
    if block.stride == 1:
        numbers |= {"passed_on": torch.arange(beside), "worked_on": torch.arange(beside, 2 * beside)}
    for name, own in numbers.items():
        block.register_buffer(name, own.to(device), persistent=False)


class OpenShuffle(nn.Module):
    """What torchvision's `InvertedResidual` computes; `order`, `passed_on` and `worked_on` are numbers of channels.

    The first says which channel of both branches comes to each place, the others which of what is read is handed on as
    it is, and which goes through the second branch.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C', H', W'), half as high and wide where the stride is 2."""
        if self.stride == 1:
            one, other = features.index_select(1, self.passed_on), features.index_select(1, self.worked_on)
        else:
            one, other = self.branch1(features), features
        return torch.cat([one, self.branch2(other)], 1).index_select(1, self.order)
