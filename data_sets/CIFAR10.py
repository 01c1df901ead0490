"""Small photographs of ten kinds of things."""

import argparse
from pathlib import Path

from utils.data.augmentation import HorizontalFlip, RandomCrop
from utils.data.data_set import DataSet, Images
from utils.data.torchvision_files import load_cifar


class CIFAR10(DataSet):
    """Ten kinds of animals and vehicles (Krizhevsky, 2009): 50,000 training and 10,000 test images of 3x32x32.

    Training images are shifted by up to 4 pixels and mirrored half of the time, as usual (He et al., 2016).
    """

    input_shape = (3, 32, 32)
    num_classes = 10
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    augmentation = (RandomCrop(4), HorizontalFlip(0.5))

    def load(self, folder: Path, arguments: argparse.Namespace) -> tuple[Images, Images]:
        """Read the batches under `folder`/cifar-10-batches-py, or let torchvision download them."""
        return load_cifar("CIFAR10", folder, download=self.download)
