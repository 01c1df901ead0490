"""SqueezeNet (Iandola et al., 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters ...")."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.models.blocks.forms import Form, TwoForms, is_small
from secateur.models.blocks.initialisation import glorot_normal


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 convolutions side by side, of `expand` channels each.

    With `bypass` the input is added to the output (figure 2, middle).
    """

    def __init__(self, inputs: int, squeeze: int, expand: int, bypass: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.bypass = bypass

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, 2 * expand, H, W)."""
        squeezed = functional.relu(self.squeeze(features))
        expanded = functional.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], 1))
        return expanded + features if self.bypass else expanded


class SqueezeNet(TwoForms):
    """A convolution, eight fire modules, and a 1x1 convolution whose averages are the logits.

    Large images go through the paper's network (table 1). Small ones go through the authors' version 1.1, with its
    convolution of 64 channels, at full size and without the first pooling.
    """

    #: Whether every second module is bypassed: those that keep the number of channels.
    bypass: bool

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        if is_small(input_shape, form):
            channels, pooled_after, padding = 64, (3, 5), 1
            layers: list[nn.Module] = [nn.Conv2d(input_shape[0], channels, 3, padding=1), nn.ReLU()]
        else:
            channels, pooled_after, padding = 96, (4, 8), 0
            layers = [
                nn.Conv2d(input_shape[0], channels, 7, stride=2),
                nn.ReLU(),
                nn.MaxPool2d(3, 2, ceil_mode=True),
            ]
        for number in range(2, 10):
            step = number // 2
            squeeze, expand = 16 * step, 64 * step
            layers.append(Fire(channels, squeeze, expand, bypass=self.bypass and channels == 2 * expand))
            channels = 2 * expand
            if number in pooled_after:
                layers.append(nn.MaxPool2d(3, 2, padding, ceil_mode=not padding))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(channels, num_classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        glorot_normal(self)
        nn.init.normal_(self.classifier[1].weight, std=0.01)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
