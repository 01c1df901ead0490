"""Made-up images, for trying things out."""

import argparse
from pathlib import Path

import torch
from torch.nn import functional

from utils.data.augmentation import HorizontalFlip, RandomCrop
from utils.data.data_set import DataSet, Images
from utils.ranges import number

TEST_IMAGES = 1000


class RUBBISH(DataSet):
    """Synthetic colour images of 3x32x32: each class is a smooth random pattern, under noise; always the same ones.

    Learnable, but not at once: the noise is stronger than the pattern.
    """

    input_shape = (3, 32, 32)
    num_classes = 10
    mean = (0.5178, 0.5205, 0.4975)
    std = (0.2172, 0.2187, 0.2110)
    batch_size = 128
    augmentation = (RandomCrop(2), HorizontalFlip())

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the size of the set."""
        help_text = "training images; the test images are always the same ones (default: %(default)s)"
        parser.add_argument("--rubbish_images", type=number(int, 10, 10**6), default=5000, metavar="N", help=help_text)

    def load(self, folder: Path, arguments: argparse.Namespace) -> tuple[Images, Images]:
        """Draw the patterns, then the training and the test images."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(self.num_classes, 3, 4, 4, generator=generator)
        # Symmetric, so that mirroring an image leaves it in its class.
        patterns = functional.interpolate(coarse + coarse.flip(3), self.input_shape[1:], mode="bicubic")

        def draw(count: int, seed: int) -> Images:
            generator = torch.Generator().manual_seed(seed)
            labels = torch.randint(self.num_classes, (count,), generator=generator)
            noise = torch.randn(count, *self.input_shape, generator=generator)
            return Images((patterns[labels] * 20 + noise * 50 + 127.5).clamp(0, 255).byte(), labels)

        return draw(arguments.rubbish_images, seed=1), draw(TEST_IMAGES, seed=2)
