"""Clothes, as hard to tell apart as digits are easy."""

from pathlib import Path

from secateur.data.data_set import DataSet, Images
from secateur.data.torchvision_files import load_torchvision


class FashionMNIST(DataSet):
    """Ten kinds of clothes (Xiao et al., 2017): 60,000 training and 10,000 test images of 1x28x28."""

    aliases = ("fashion",)

    input_shape = (1, 28, 28)
    num_classes = 10
    mean = (0.2860,)
    std = (0.3530,)

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the four idx files under `folder`/FashionMNIST/raw, or let torchvision download them."""
        return load_torchvision("FashionMNIST", folder, where=folder / "FashionMNIST" / "raw", download=self.download)
