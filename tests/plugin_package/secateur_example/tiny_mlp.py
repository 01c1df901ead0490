"""A small perceptron."""

import math

from torch import Tensor, nn


class TinyMLP(nn.Module):
    """One hidden layer of `hidden_dim` ReLUs.

    A network is built from the shape (C, H, W) of its images and the number of classes. A further parameter that is
    called like a flag, as `hidden_dim` is, gets the flag's value where one is given.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, hidden_dim: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(math.prod(input_shape), hidden_dim)
        self.classifier = nn.Linear(hidden_dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.hidden(images.flatten(1)).relu())
