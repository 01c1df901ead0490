"""Ten breeds of dogs, which are hard to tell apart."""

from pathlib import Path

from secateur.data_sets.IMAGENETTE import IMAGENETTE
from secateur.utils.errors import UserError


class IMAGEWOOF(IMAGENETTE):
    """Imagewoof (Howard, 2019): ten breeds of dogs from ImageNet, 9,025 training and 3,929 test images.

    Everything else is as in IMAGENETTE; torchvision does not download these.
    """

    archive = "imagewoof2"

    def fetch(self, folder: Path) -> str:
        """Say which files are missing."""
        raise UserError(f"IMAGEWOOF: there are no images: {self.advice(folder)}")
