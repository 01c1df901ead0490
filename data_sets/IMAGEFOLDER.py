"""Any folder of image files."""

from pathlib import Path

from PIL import Image

from secateur.config.option import option
from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.image_files import ImageFiles, class_folders, list_classes, load_image_files
from secateur.data.statistics import channel_statistics
from secateur.data.streaming import StreamedImages
from secateur.utils.errors import UserError


class IMAGEFOLDER(DataSet):
    """The images below `--data_dir`: train/ and test/ (or val/), each with a folder for every class.

    They are decoded once, to `--image_size` or the size of the first one, and kept in a hidden folder .secateur beside
    the classes; where they do not fit into memory they are streamed from their files instead. Training images are
    shifted by up to an eighth of their size and mirrored half of the time.
    """

    # Known once the folder was read.
    input_shape = (3, 32, 32)
    num_classes = 2
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    image_size: int | None = option(
        None, "height and width of the images (default: those of the first)", low=8, high=4096, metavar="PIXELS"
    )

    def load(self, folder: Path) -> tuple[Images | StreamedImages, ...]:
        """List both parts; decode them, or map what was decoded before, or leave them to be streamed."""
        train = folder / "train"
        test = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), folder / "test")
        for part in (train, test):
            if not part.is_dir():
                wanted = "train/ and test/ (or val/), each with a folder of images for every class"
                raise UserError(f"IMAGEFOLDER: there is no folder {part}: --data_dir must hold {wanted}")
        classes = class_folders(train)
        if len(classes) < 2:
            raise UserError(f"IMAGEFOLDER: {train} must hold a folder of images for each of at least two classes")
        if unknown := sorted(set(class_folders(test)) ^ set(classes)):
            raise UserError(f"IMAGEFOLDER: {train} and {test} hold different classes: {unknown[0]}")
        parts = [list_classes(part, classes) for part in (train, test)]
        size = (self.image_size,) * 2 if self.image_size else _size_of_first(parts[0])
        self.input_shape, self.num_classes = (3, *size), len(classes)
        self.augmentation = (RandomCrop(max(size) // 8), HorizontalFlip(0.5))
        loaded = load_image_files(parts, self.input_shape, self)
        self.mean, self.std = channel_statistics(loaded[0])
        return tuple(loaded)


def _size_of_first(part: ImageFiles) -> tuple[int, int]:
    for path in part.files:
        try:
            with Image.open(path) as image:
                return image.height, image.width
        except OSError:
            continue  # no image; what should be one is refused when it is decoded
    raise UserError(f"IMAGEFOLDER: {part.folder} holds no images")
