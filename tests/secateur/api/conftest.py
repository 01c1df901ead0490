"""Networks and batches that the calls of `import secateur` are tried on."""

import pytest
import torch
from torch import nn


@pytest.fixture
def images():
    """64 grey images (64, 1, 8, 8)."""
    return torch.rand(64, 1, 8, 8)


@pytest.fixture
def batches(images):
    """Two batches of them, with classes from 0 to 9."""
    labels = torch.arange(64) % 10
    return [(images[:32], labels[:32]), (images[32:], labels[32:])]


@pytest.fixture
def make_network():
    """Build a small convolutional network, always the same."""

    def make():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10),
        )

    return make
