"""Residual networks of basic blocks (He et al., 2016, "Deep Residual Learning for Image Recognition")."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from models.blocks.initialisation import he_normal


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (figure 5, left); the shortcut is projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        hidden = functional.relu(self.bn1(self.conv1(features)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(features))


class ImageNetResNet(nn.Module):
    """Four stages of basic blocks of 64, 128, 256 and 512 channels, global average pooling, one linear layer.

    `blocks` is the number of blocks of each stage. Images of up to 64 pixels go through a 3x3 stem without pooling, as
    papers on CIFAR do; larger ones through the 7x7 stem of stride 2 with max-pooling.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, blocks: Sequence[int]) -> None:
        super().__init__()
        channels, height, width = input_shape
        if max(height, width) <= 64:
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
        for stage, number in enumerate(blocks):
            outputs = 64 * 2**stage
            for block in range(number):
                stages.append(BasicBlock(inputs, outputs, stride=2 if stage > 0 and block == 0 else 1))
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.stages(self.stem(images))).flatten(1))
