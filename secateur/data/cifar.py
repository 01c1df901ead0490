"""What CIFAR-10 and CIFAR-100 have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.config.option import option
from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.torchvision_files import load_cifar

#: Mean and standard deviation of ImageNet, which programs for both take on CIFAR too.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Cifar(DataSet):
    """Base of the data sets of Krizhevsky (2009): 50,000 training and 10,000 test images of 3x32x32.

    Training images are shifted by up to `--crop` pixels and mirrored with probability `--flip`, by default 4 and a half
    as usual (He et al., 2016), and normalised by their own mean and deviation, or by ImageNet's.
    """

    input_shape = (3, 32, 32)
    augmentation = (RandomCrop(4), HorizontalFlip(0.5))
    #: Its name in torchvision.
    published: str

    crop: int = option(4, "shift training images of CIFAR by up to this many pixels", low=0, high=32, metavar="PIXELS")
    flip: float = option(0.5, "probability of mirroring a training image of CIFAR", low=0, high=1)
    normalisation: str = option(
        "own",
        "mean and standard deviation by which pixels are normalised: CIFAR's own, or ImageNet's",
        choices=("own", "imagenet"),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        crops = (RandomCrop(self.crop),) if self.crop else ()
        flips = (HorizontalFlip(self.flip),) if self.flip else ()
        self.augmentation = (*crops, *flips)
        if self.normalisation == "imagenet":
            self.mean, self.std = IMAGENET

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the published files below `folder`, or let torchvision download them."""
        return load_cifar(self.published, folder, download=self.download)
