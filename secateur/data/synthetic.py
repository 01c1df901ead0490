"""Images that are drawn by a formula: of data sets that need no files."""

import torch
from torch import Tensor
from torch.nn import functional

from secateur.data.data_set import DataSet, Images


def class_patterns(shape: tuple[int, int, int], classes: int) -> Tensor:
    """A smooth random pattern for each class, (classes, C, H, W), always the same ones.

    Symmetric, so that mirroring an image leaves it in its class.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(classes, shape[0], 4, 4, generator=generator)
    return functional.interpolate(coarse + coarse.flip(3), shape[1:], mode="bicubic")


def noisy(patterns: Tensor, labels: Tensor, generator: torch.Generator) -> Images:
    """Draw an image of each label's pattern (classes, C, H, W), under noise that is stronger than it."""
    noise = torch.randn(len(labels), *patterns.shape[1:], generator=generator)
    return Images((patterns[labels] * 20 + noise * 50 + 127.5).clamp(0, 255).byte(), labels)


def placeholder(data_set: DataSet, number: int, classes: int = 10) -> tuple[Images, Images]:
    """Images for training and testing, `number` of each, of the shape of a data set and of its first `classes`."""
    classes = min(classes, data_set.num_classes)
    patterns, labels = class_patterns(data_set.input_shape, classes), torch.arange(number) % classes
    return tuple(noisy(patterns, labels, torch.Generator().manual_seed(seed)) for seed in (1, 2))
