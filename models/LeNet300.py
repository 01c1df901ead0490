"""LeNet-300-100."""

import math

from torch import Tensor, nn

from secateur.models.blocks.initialisation import glorot_normal


class LeNet300(nn.Module):
    """LeNet-300-100 (LeCun et al., 1998): two hidden layers of 300 and 100; 266,610 parameters on MNIST.

    ReLU and Glorot initialisation, as in SNIP (Lee et al., 2019).
    """

    aliases = ("lenet-300-100",)

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(input_shape), 300),
            nn.ReLU(),
            nn.Linear(300, 100),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(100, num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
