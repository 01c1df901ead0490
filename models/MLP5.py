"""A plain deep perceptron."""

import itertools
import math

from torch import Tensor, nn


class MLP5(nn.Module):
    """Five linear layers, the hidden ones `hidden_dim` wide with batch norm and ReLU.

    402,954 parameters on MNIST, 256 wide. SNIP-it's MLP5 is 512 wide, with LeakyReLU and dropout.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, hidden_dim: int = 256) -> None:
        super().__init__()
        widths = [math.prod(input_shape)] + [hidden_dim] * 4
        hidden = [
            layer
            for inputs, outputs in itertools.pairwise(widths)
            for layer in (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())
        ]
        self.features = nn.Sequential(nn.Flatten(), *hidden)
        self.classifier = nn.Linear(hidden_dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
