"""Handwritten Japanese characters."""

from pathlib import Path

from secateur.data.data_set import DataSet, Images
from secateur.data.torchvision_files import load_torchvision


class KMNIST(DataSet):
    """Ten cursive Japanese characters (Clanuwat et al., 2018): 60,000 training and 10,000 test images of 1x28x28."""

    input_shape = (1, 28, 28)
    num_classes = 10
    mean = (0.1918,)
    std = (0.3483,)

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the four idx files under `folder`/KMNIST/raw, or let torchvision download them."""
        return load_torchvision("KMNIST", folder, where=folder / "KMNIST" / "raw", download=self.download)
