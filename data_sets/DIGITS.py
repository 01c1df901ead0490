"""Handwritten digits that come with scikit-learn."""

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from secateur.data.data_set import DataSet, Images


class DIGITS(DataSet):
    """Scikit-learn's 1,797 handwritten digits of 8x8 pixels (Alpaydin & Kaynak, 1998); needs no download.

    Not MNIST, whose 28x28 images other programs call digits. Split once and for all into 1,437 training and 360 test
    images with equal shares of each class.
    """

    input_shape = (1, 8, 8)
    num_classes = 10
    mean = (0.3054,)
    std = (0.3760,)
    batch_size = 64
    namesake = "these are DIGITS, scikit-learn's 8x8 images; handwritten digits of 28x28 pixels are --data_set MNIST"

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Return the two parts; pixel values 0 to 16 are spread over 0 to 255."""
        digits = load_digits()
        pixels = torch.from_numpy(digits.images).mul(255 / 16).round().byte()[:, None]
        labels = torch.from_numpy(digits.target).long()
        train, test = train_test_split(range(len(labels)), test_size=360, random_state=0, stratify=digits.target)
        images = Images(pixels, labels)
        return images.subset(torch.tensor(train)), images.subset(torch.tensor(test))
