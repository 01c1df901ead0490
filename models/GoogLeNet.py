"""GoogLeNet."""

import torch
from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, is_small
from secateur.models.blocks.initialisation import he_normal


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution with norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Inception(nn.Module):
    """Four paths side by side: 1x1, 3x3 and 5x5 convolutions and pooling (figure 2b).

    The numbers of channels are in the order of table 1; `reduce` is that of the 1x1 convolution ahead of one.
    """

    def __init__(self, inputs: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> None:
        super().__init__()
        self.path1 = convolution(inputs, one, 1)
        self.path3 = nn.Sequential(convolution(inputs, reduce3, 1), convolution(reduce3, three, 3))
        self.path5 = nn.Sequential(convolution(inputs, reduce5, 1), convolution(reduce5, five, 5))
        self.path_pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), convolution(inputs, pool, 1))
        self.outputs = one + three + five + pool

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, one + three + five + pool, H, W)."""
        return torch.cat([path(features) for path in (self.path1, self.path3, self.path5, self.path_pool)], 1)


class GoogLeNet(TwoForms):
    """GoogLeNet (Szegedy et al., 2015, table 1) with batch norm, without the auxiliary classifiers.

    5,983,402 parameters on CIFAR-10, where a 3x3 stem without pooling is used, and 7,005,832 on ImageNet: 6,998,552 as
    in the paper, with biases, and a norm's two parameters for each bias. (torchvision's network has 3x3 convolutions
    where the paper has 5x5, hence 6,624,904.)
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        channels = input_shape[0]
        if is_small(input_shape, form):
            layers = [convolution(channels, 64, 3), convolution(64, 64, 1), convolution(64, 192, 3)]
        else:
            layers = [
                convolution(channels, 64, 7, stride=2),
                nn.MaxPool2d(3, 2, padding=1),
                convolution(64, 64, 1),
                convolution(64, 192, 3),
                nn.MaxPool2d(3, 2, padding=1),
            ]
        inputs = 192
        for stage in (
            [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
            [
                (192, 96, 208, 16, 48, 64),
                (160, 112, 224, 24, 64, 64),
                (128, 128, 256, 24, 64, 64),
                (112, 144, 288, 32, 64, 64),
                (256, 160, 320, 32, 128, 128),
            ],
            [(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)],
        ):
            for widths in stage:
                layers.append(Inception(inputs, *widths))
                inputs = layers[-1].outputs
            layers.append(nn.MaxPool2d(3, 2, padding=1))
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(inputs, num_classes))
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
