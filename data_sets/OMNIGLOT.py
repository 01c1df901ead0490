"""Handwritten characters of fifty alphabets."""

from pathlib import Path

import torch

from secateur.data.augmentation import RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.image_files import class_folders, list_classes, preloaded
from secateur.data.statistics import channel_statistics
from secateur.data.torchvision_files import fetch
from secateur.utils.errors import UserError

ADDRESS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
PARTS = ("images_background", "images_evaluation")
#: Each character was drawn by 20 people; the last ones are held out.
TRAINING_DRAWERS = 16


class OMNIGLOT(DataSet):
    """Characters of fifty alphabets (Lake et al., 2015), to be told apart: 1,623 classes, 20 drawings each, 1x28x28.

    The published halves hold different characters, made for learning from one example; a classifier of one half says
    nothing of the other. Here both are joined, and drawings 1 to 16 of each character are for training, 17 to 20 for
    testing: 25,968 and 6,492 images. Ink is bright, as in MNIST. Training images are shifted by up to 2 pixels.
    """

    input_shape = (1, 28, 28)
    num_classes = 1623
    # Known once the drawings were read.
    mean = (0.1,)
    std = (0.25,)
    augmentation = (RandomCrop(2),)

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read `folder`/omniglot-py/<part>/<alphabet>/<character>/<character>_<drawing>.png of both parts."""
        where = folder / "omniglot-py"
        for part in PARTS:
            if not (where / part).is_dir():
                background = part == PARTS[0]
                fetch("Omniglot", folder, where, lambda: _advice(where), download=self.download, background=background)
        characters = [
            f"{part}/{alphabet}/{character}"
            for part in PARTS
            for alphabet in class_folders(where / part)
            for character in class_folders(where / part / alphabet)
        ]
        if len(characters) != self.num_classes:
            found = f"{where} holds {len(characters)} characters, not {self.num_classes}"
            raise UserError(f"OMNIGLOT: {found}: {_advice(where)}")
        listed = list_classes(where, characters)
        paper_is_bright = preloaded(listed, self.input_shape)
        images = Images(255 - paper_is_bright.pixels, paper_is_bright.labels)
        training = torch.tensor([_drawing(file) for file in listed.files]) <= TRAINING_DRAWERS
        train, test = (images.subset(chosen.nonzero().flatten()) for chosen in (training, ~training))
        self.mean, self.std = channel_statistics(train)
        return train, test


def _drawing(file: str) -> int:
    """The number of the drawing, 1 to 20: 0709_01.png is the first of its character."""
    try:
        return int(Path(file).stem.rpartition("_")[2])
    except ValueError:
        raise UserError(f"OMNIGLOT: {file} is not named <character>_<drawing>.png, as 0709_01.png is") from None


def _advice(where: Path) -> str:
    """Say which files belong where."""
    archives = " and ".join(f"{part}.zip" for part in PARTS)
    return f"unpack {archives} from {ADDRESS} into {where}, as {where / PARTS[0]} and {where / PARTS[1]}"
