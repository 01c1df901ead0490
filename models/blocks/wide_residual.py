"""Wide residual networks (Zagoruyko & Komodakis, 2016, "Wide Residual Networks")."""

from torch import Tensor, nn
from torch.nn import functional

from secateur.models.blocks.initialisation import he_normal


class PreActivationBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice (He et al., 2016, "Identity Mappings in Deep Residual Networks").

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        active = functional.relu(self.bn1(features))
        hidden = functional.relu(self.bn2(self.conv1(active)))
        return self.conv2(hidden) + (features if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """A 3x3 convolution of 16 channels, three stages of (depth - 4) / 6 blocks, norm, pooling, one linear layer.

    The stages are 16, 32 and 64 channels times `width` (table 1), without dropout.
    """

    depth: int
    width: int

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        stages, inputs = [], 16
        for stage in range(3):
            outputs = 16 * 2**stage * self.width
            for position in range((self.depth - 4) // 6):
                stages.append(PreActivationBlock(inputs, outputs, stride=2 if stage > 0 and position == 0 else 1))
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.norm = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.norm(self.stages(self.stem(images)))).flatten(1))
