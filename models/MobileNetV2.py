"""MobileNetV2."""

from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, is_small
from secateur.models.blocks.initialisation import he_normal, narrow_normal


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution with norm and ReLU6."""
    padding = kernel // 2
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    ]


class InvertedResidual(nn.Module):
    """Widened `factor` times, filtered channel by channel, and projected without ReLU (table 1)."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        width = inputs * factor
        self.layers = nn.Sequential(
            *(convolution(inputs, width, 1) if factor > 1 else []),
            *convolution(width, width, 3, stride, groups=width),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return features + self.layers(features) if self.residual else self.layers(features)


class MobileNetV2(TwoForms):
    """MobileNetV2 (Sandler et al., 2018, table 2): 2,236,682 parameters on CIFAR-10, 3,504,872 on ImageNet.

    Small images are shrunk 8 times and not 32 times: the first convolution and the second stage keep their size.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        first = 1 if is_small(input_shape, form) else 2
        layers, inputs = convolution(input_shape[0], 32, 3, first), 32
        # (factor, channels, blocks, stride of the first block)
        for factor, outputs, blocks, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, first),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            for position in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, stride if position == 0 else 1, factor))
                inputs = outputs
        self.features = nn.Sequential(*layers, *convolution(inputs, 1280, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))
        he_normal(self)
        narrow_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.features(images)).flatten(1))
