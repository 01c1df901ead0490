"""Densely connected networks (Huang et al., 2017, "Densely Connected Convolutional Networks")."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, is_small
from secateur.models.blocks.initialisation import he_normal


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 convolution to 4 `growth` channels; norm, ReLU, 3x3 convolution to `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, inputs + growth, H, W): those that came in, and the new ones."""
        return torch.cat([features, self.layers(features)], 1)


def transition(inputs: int, outputs: int) -> nn.Sequential:
    """Half the channels and half the size; a map of a single pixel keeps its size."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.AvgPool2d(2, ceil_mode=True),
    )


class DenseNet(TwoForms):
    """DenseNet-BC: four dense blocks of growth 32 with transitions between them (table 1).

    Small images go through a 3x3 stem without pooling.
    """

    growth = 32
    #: The number of layers of each block.
    depths: Sequence[int]

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        channels, width = input_shape[0], 2 * self.growth
        if is_small(input_shape, form):
            layers = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        else:
            layers = [
                nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=2, padding=1),
            ]
        for block, depth in enumerate(self.depths):
            if block > 0:
                layers.append(transition(width, width // 2))
                width //= 2
            for _ in range(depth):
                layers.append(DenseLayer(width, self.growth))
                width += self.growth
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.features(images)).flatten(1))
