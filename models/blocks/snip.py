"""The networks for CIFAR-10 of SNIP (Lee et al., 2019, "SNIP: Single-shot Network Pruning ...", table 2).

They are the networks for ImageNet with smaller hidden layers, and with batch norm instead of dropout everywhere. The
parameters of the norms are not in the published numbers. On images above 32 pixels the first convolution takes twice
the stride, as the paper's does on Tiny-ImageNet; whatever is left at the end is averaged.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from secateur.models.blocks.initialisation import glorot_normal
from secateur.models.blocks.vgg import convolution_stages


def hidden_layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next, each followed by norm and ReLU: (N, first) to (N, last)."""
    layers = [
        layer
        for inputs, outputs in itertools.pairwise(widths)
        for layer in (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
    ]
    return nn.Sequential(*layers)


class SnipVGG(nn.Module):
    """The thirteen convolutions of VGG-16, and hidden layers of 512."""

    last_kernel = 3
    hidden: Sequence[int] = (512, 512)

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        stride = 1 if max(input_shape[1:]) <= 32 else 2
        self.features = convolution_stages(input_shape[0], (2, 2, 3, 3, 3), self.last_kernel, stride)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden_layers = hidden_layers((512, *self.hidden))
        self.classifier = nn.Linear(self.hidden[-1], num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.hidden_layers(self.pool(self.features(images)).flatten(1)))


class SnipAlexNet(nn.Module):
    """The five convolutions of AlexNet, all of stride 2 in place of pooling, and two hidden layers of `width`."""

    width: int

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        stride = 2 if max(height, width) <= 32 else 4
        layers: list[nn.Module] = []
        for outputs, kernel in ((96, 11), (256, 5), (384, 3), (384, 3), (256, 3)):
            layers += [
                nn.Conv2d(channels, outputs, kernel, 2 if layers else stride, padding=kernel // 2),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden_layers = hidden_layers((channels, self.width, self.width))
        self.classifier = nn.Linear(self.width, num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.hidden_layers(self.pool(self.features(images)).flatten(1)))
