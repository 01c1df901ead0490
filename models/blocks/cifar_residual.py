"""Residual networks for CIFAR-10 (He et al., 2016, section 4.2)."""

from typing import Literal

import torch
from torch import Tensor, nn

from secateur.config.option import option
from secateur.models.blocks.initialisation import he_normal
from secateur.models.blocks.residual import BasicBlock


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, with `extra` channels of zeros behind the others: no parameters (option A)."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride = stride
        # A tensor, which loses channels like any other.
        self.register_buffer("zeros", torch.zeros(1, extra, 1, 1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to (N, C + extra, H / stride, W / stride)."""
        features = features[:, :, :: self.stride, :: self.stride]
        number, _, height, width = features.shape
        zeros = self.zeros.to(features.dtype).expand(number, -1, height, width)
        return torch.cat([features, zeros], 1)


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of `blocks` basic blocks of 16, 32 and 64 channels, pooling, one linear layer.

    With n blocks a stage there are 6n + 2 layers with weights. The shortcut of the two blocks that halve the maps has
    no parameters: it takes every second pixel and pads with channels of zeros (`shortcut` "pad", option A, as in the
    paper), unless it is to "project" them (option B).
    """

    blocks: int

    shortcut: str = option(
        "pad", "pad shortcuts with channels of zeros, or project them by a 1x1 convolution", choices=("pad", "project")
    )

    def __init__(
        self, input_shape: tuple[int, int, int], num_classes: int, shortcut: Literal["pad", "project"] = "pad"
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        stages, inputs = [], 16
        for outputs in (16, 32, 64):
            for _ in range(self.blocks):
                block = BasicBlock(inputs, outputs, stride=1 if inputs == outputs else 2)
                if inputs != outputs and shortcut == "pad":
                    block.shortcut = PaddedShortcut(2, outputs - inputs)
                stages.append(block)
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.stages(self.stem(images))).flatten(1))
