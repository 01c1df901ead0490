"""Ten of ImageNet's classes that are easy to tell apart."""

from pathlib import Path

from secateur.config.option import option
from secateur.data.augmentation import HorizontalFlip, RandomResizedCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.image_files import class_folders, list_classes, load_image_files
from secateur.data.streaming import StreamedImages
from secateur.data.torchvision_files import fetch
from secateur.utils.errors import UserError


class IMAGENETTE(DataSet):
    """Imagenette (Howard, 2019): ten easy classes of ImageNet, 9,469 training and 3,925 test images, from 3x128x128.

    The photographs differ in size: the middle square is taken, of `--image_size`, by default the 128 of the authors'
    table of results. Training images are random parts of at least 35 % of the area, as theirs, and mirrored half of
    the time.
    """

    input_shape = (3, 128, 128)
    num_classes = 10
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    batch_size = 64
    augmentation = (RandomResizedCrop(0.35), HorizontalFlip(0.5))
    #: The published archive, which comes in three sizes: with this name, and with -160 or -320 for the shorter side.
    archive = "imagenette2"

    image_size: int = option(128, "height and width of the images", low=8, high=4096, metavar="PIXELS")

    def load(self, folder: Path) -> tuple[Images | StreamedImages, ...]:
        """Read train/<class>/*.JPEG and val/<class>/*.JPEG below `folder`/<archive>: the smallest that is there.

        An archive of smaller images than `--image_size` is taken only where there is no other.
        """
        names = {f"{self.archive}-160": 160, f"{self.archive}-320": 320, self.archive: 4096}
        there = [name for name in names if (folder / name).is_dir()]
        if not there:
            there = [self.fetch(folder)]
        where = folder / next((name for name in there if names[name] >= self.image_size), there[-1])
        for part in ("train", "val"):
            classes = class_folders(where / part) if (where / part).is_dir() else []
            if len(classes) != self.num_classes:
                raise UserError(
                    f"{type(self).__name__}: {where / part} holds {len(classes)} classes, not {self.num_classes}: "
                    f"{self.advice(folder)}"
                )
        self.input_shape = (3, self.image_size, self.image_size)
        parts = [list_classes(where / part, classes) for part in ("train", "val")]
        return tuple(load_image_files(parts, self.input_shape, self))

    def fetch(self, folder: Path) -> str:
        """Let torchvision download the smallest archive, and return its name."""
        name = f"{self.archive}-160"
        fetch("Imagenette", folder, folder / name, lambda: self.advice(folder), download=self.download, size="160px")
        return name

    def advice(self, folder: Path) -> str:
        """Say which files belong where."""
        name = f"{self.archive}-160"
        return (
            f"unpack {name}.tgz from https://s3.amazonaws.com/fast-ai-imageclas/{name}.tgz into {folder}, "
            f"as {folder / name} with train/ and val/ (or {self.archive}-320, or {self.archive})"
        )
