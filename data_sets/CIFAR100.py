"""Small photographs of a hundred kinds of things."""

import argparse
from pathlib import Path

from utils.data.augmentation import HorizontalFlip, RandomCrop
from utils.data.data_set import DataSet, Images
from utils.data.torchvision_files import load_cifar


class CIFAR100(DataSet):
    """A hundred kinds of things (Krizhevsky, 2009): 50,000 training and 10,000 test images of 3x32x32.

    Training images are shifted by up to 4 pixels and mirrored half of the time, as usual (He et al., 2016).
    """

    input_shape = (3, 32, 32)
    num_classes = 100
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    augmentation = (RandomCrop(4), HorizontalFlip(0.5))

    def load(self, folder: Path, arguments: argparse.Namespace) -> tuple[Images, Images]:
        """Read the files under `folder`/cifar-100-python, or let torchvision download them."""
        return load_cifar("CIFAR100", folder, download=self.download)
