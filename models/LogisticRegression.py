"""A linear classifier."""

import math

from torch import Tensor, nn


class LogisticRegression(nn.Module):
    """One linear layer from the pixels to the classes: 7,850 parameters on MNIST."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(math.prod(input_shape), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(images.flatten(1))
