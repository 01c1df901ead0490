"""Made-up images, for trying things out."""

from pathlib import Path

import torch

from secateur.config.option import option
from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.synthetic import class_patterns, noisy

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

    rubbish_images: int = option(
        5000, "number of training images; the test images are always the same", low=10, high=1_000_000
    )

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Draw the patterns, then the training and the test images."""
        patterns = class_patterns(self.input_shape, self.num_classes)

        def draw(count: int, seed: int) -> Images:
            generator = torch.Generator().manual_seed(seed)
            return noisy(patterns, torch.randint(self.num_classes, (count,), generator=generator), generator)

        return draw(self.rubbish_images, seed=1), draw(TEST_IMAGES, seed=2)
