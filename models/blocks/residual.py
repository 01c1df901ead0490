"""Residual networks (He et al., 2016, "Deep Residual Learning for Image Recognition")."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from secateur.models.blocks.forms import Form, TwoForms, is_small
from secateur.models.blocks.initialisation import he_normal


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut as a 1x1 convolution where the shape changes, else as it is (option B of section 4.1)."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (figure 5, left); the shortcut is projected where the shape changes."""

    #: How many channels leave a block for each of its width.
    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = projection(inputs, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, width, H / stride, W / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(features)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(features))


class BottleneckBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut (figure 5, right).

    The 3x3 convolution takes the stride, as in every implementation since, and not the first 1x1 as in the paper.
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = projection(inputs, outputs, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, 4 * width, H / stride, W / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(features)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + self.shortcut(features))


class ImageNetResNet(TwoForms):
    """Four stages of blocks 64, 128, 256 and 512 wide, global average pooling, one linear layer.

    Small images go through a 3x3 stem without pooling, as papers on CIFAR do; larger ones through the 7x7 stem of
    stride 2 with max-pooling.
    """

    block: type[BasicBlock | BottleneckBlock] = BasicBlock
    #: The number of blocks of each stage.
    depths: Sequence[int]

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        channels = input_shape[0]
        if is_small(input_shape, form):
            stem = [nn.Conv2d(channels, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        else:
            stem = [
                nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False),
                nn.BatchNorm2d(64),
                nn.ReLU(),
                nn.MaxPool2d(3, stride=2, padding=1),
            ]
        self.stem = nn.Sequential(*stem)
        stages, inputs = [], 64
        for stage, number in enumerate(self.depths):
            width = 64 * 2**stage
            for position in range(number):
                stages.append(self.block(inputs, width, stride=2 if stage > 0 and position == 0 else 1))
                inputs = width * self.block.expansion
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.stages(self.stem(images))).flatten(1))
