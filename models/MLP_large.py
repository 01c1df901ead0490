"""A very large perceptron."""

import itertools
import math

from torch import Tensor, nn

from secateur.models.blocks.initialisation import glorot_normal


class MLP_large(nn.Module):  # noqa: N801 - a variant of MLP
    """Hidden layers of 1000, 1000, 500 and 200 with ReLU, made to be pruned: 2,388,710 parameters on MNIST."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        widths = (math.prod(input_shape), 1000, 1000, 500, 200)
        hidden = [
            layer for inputs, outputs in itertools.pairwise(widths) for layer in (nn.Linear(inputs, outputs), nn.ReLU())
        ]
        self.features = nn.Sequential(nn.Flatten(), *hidden)
        self.classifier = nn.Linear(widths[-1], num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
