"""ResNet-18 of SNIP-it's program."""

from torch import Tensor, nn
from torch.nn import functional

from secateur.models.blocks.residual import projection
from secateur.models.blocks.snip_it import SLOPE, orthogonal, perceptron


class LeakyBlock(nn.Module):
    """Two 3x3 convolutions with biases around a shortcut, which is projected where the maps are halved."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = projection(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        hidden = functional.leaky_relu(self.bn1(self.conv1(features)), SLOPE)
        return functional.leaky_relu(self.bn2(self.conv2(hidden)) + self.shortcut(features), SLOPE)


class ResNet18_SNIPit(nn.Module):  # noqa: N801 - a variant of ResNet18
    """ResNet-18 as SNIP-it was published with (Verdenius et al., 2020): the stem for ImageNet, and a hidden layer.

    11,707,978 parameters on CIFAR-10. A 7x7 convolution of stride 2 and max-pooling leave 8x8 of an image of 32x32; the
    last map is spread or averaged to 2x2, and read by a hidden layer of 256.
    """

    #: Channels of the stem, then of each block.
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    hidden = 256

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], self.widths[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(self.widths[0]),
            nn.LeakyReLU(SLOPE),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.Sequential(*map(LeakyBlock, self.widths, self.widths[1:]))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.classifier = perceptron((4 * self.widths[-1], self.hidden), num_classes)
        orthogonal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.stages(self.stem(images))))
