"""What CIFAR-10 and CIFAR-100 have in common."""

from __future__ import annotations

from pathlib import Path

from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.torchvision_files import load_cifar


class Cifar(DataSet):
    """Base of the data sets of Krizhevsky (2009): 50,000 training and 10,000 test images of 3x32x32.

    Training images are shifted by up to 4 pixels and mirrored half of the time, as usual (He et al., 2016).
    """

    input_shape = (3, 32, 32)
    augmentation = (RandomCrop(4), HorizontalFlip(0.5))
    #: Its name in torchvision.
    published: str

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the published files below `folder`, or let torchvision download them."""
        return load_cifar(self.published, folder, download=self.download)
