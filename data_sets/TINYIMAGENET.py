"""Photographs of two hundred kinds of things, in a size between CIFAR's and ImageNet's."""

from pathlib import Path

from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.data_set import DataSet, Images
from secateur.data.image_files import ImageFiles, check_files, class_folders, list_classes, load_image_files
from secateur.data.streaming import StreamedImages
from secateur.runs.files import read_text
from secateur.utils.errors import UserError

ADDRESS = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


class TINYIMAGENET(DataSet):
    """Tiny ImageNet (Le & Yang, 2015): 200 of ImageNet's classes, 100,000 training and 10,000 test images of 3x64x64.

    The published labels end with the validation images, which are the test set here, as usual. Training images are
    shifted by up to 4 pixels and mirrored half of the time (as for GraSP and SynFlow). Normalised as ImageNet is.
    """

    input_shape = (3, 64, 64)
    num_classes = 200
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    batch_size = 256
    augmentation = (RandomCrop(4), HorizontalFlip(0.5))

    def load(self, folder: Path) -> tuple[Images | StreamedImages, ...]:
        """Read `folder`/tiny-imagenet-200: train/<class>/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt."""
        where = folder / "tiny-imagenet-200"
        train, notes = where / "train", where / "val" / "val_annotations.txt"
        if missing := [str(path) for path in (train, notes.parent / "images", notes) if not path.exists()]:
            raise UserError(
                f"TINYIMAGENET: there is no {missing[0]}: unpack tiny-imagenet-200.zip from {ADDRESS} into {folder}, "
                f"as {where}"
            )
        classes = class_folders(train)
        if len(classes) != self.num_classes:
            raise UserError(f"TINYIMAGENET: {train} holds {len(classes)} classes, not {self.num_classes}")
        parts = [list_classes(train, classes), _annotated(notes, classes)]
        return tuple(load_image_files(parts, self.input_shape, self))


def _annotated(notes: Path, classes: list[str]) -> ImageFiles:
    """The images that a file of lines "name, class, box" names, separated by tabs."""
    numbers = {name: number for number, name in enumerate(classes)}
    found = ImageFiles(notes.parent, [], [])
    for position, line in enumerate(read_text(notes).splitlines(), start=1):
        name, _, rest = line.partition("\t")
        label = rest.partition("\t")[0]
        if label not in numbers:
            raise UserError(f"TINYIMAGENET: {notes}:{position} names no class of the training set: {line[:60]!r}")
        found.files.append(str(notes.parent / "images" / name))
        found.labels.append(numbers[label])
    check_files(found.files)
    return found
