"""Handwritten digits."""

from pathlib import Path

from secateur.data.data_set import DataSet, Images
from secateur.data.torchvision_files import load_torchvision


class MNIST(DataSet):
    """Handwritten digits (LeCun et al., 1998): 60,000 training and 10,000 test images of 1x28x28."""

    input_shape = (1, 28, 28)
    num_classes = 10
    mean = (0.1307,)
    std = (0.3081,)

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the four idx files under `folder`/MNIST/raw, or let torchvision download them."""
        return load_torchvision("MNIST", folder, where=folder / "MNIST" / "raw", download=self.download)
