"""Tiny ImageNet's folders as they are published, with small classes."""

import pytest
import torch
from PIL import Image

from secateur.data_sets.TINYIMAGENET import TINYIMAGENET
from secateur.utils.errors import UserError

#: In an order that is not that of the names, as in the published wnids.txt.
CLASSES = ("n02124075", "n01443537", "n04067472")
GREYS = dict(zip(CLASSES, (20, 120, 220), strict=True))


class Small(TINYIMAGENET):
    num_classes = 3


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "tiny-imagenet-200"
    for name, grey in GREYS.items():
        images = where / "train" / name / "images"
        images.mkdir(parents=True)
        (where / "train" / name / f"{name}_boxes.txt").write_text(f"{name}_0.JPEG\t0\t10\t63\t58\n")
        for number in range(2):
            Image.new("RGB", (64, 64), (grey,) * 3).save(images / f"{name}_{number}.JPEG")
    (where / "wnids.txt").write_text("\n".join(CLASSES))
    images = where / "val" / "images"
    images.mkdir(parents=True)
    lines = []
    for number, name in enumerate((CLASSES[2], CLASSES[0], CLASSES[0], CLASSES[1])):
        mode = "L" if number == 1 else "RGB"  # some of the published images are grey
        Image.new(mode, (64, 64), GREYS[name] if mode == "L" else (GREYS[name],) * 3).save(
            images / f"val_{number}.JPEG"
        )
        lines.append(f"val_{number}.JPEG\t{name}\t0\t32\t44\t62\n")
    (where / "val" / "val_annotations.txt").write_text("".join(lines))
    return tmp_path


def test_training_images_come_by_folder_and_validation_images_by_annotation(folder):
    train, test = Small().load(folder)
    assert train.shape == test.shape == (3, 64, 64)
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert test.labels.tolist() == [2, 1, 1, 0]  # in the order of the names of the classes
    greys = torch.tensor([GREYS[name] for name in sorted(CLASSES)])
    for images in (train, test):
        assert (images.pixels.float().mean((1, 2, 3)) - greys[images.labels]).abs().max() <= 2  # of JPEG


@pytest.mark.parametrize("part", ["train", "val/images", "val/val_annotations.txt"])
def test_what_is_missing_is_named_with_its_place_and_address(folder, part):
    path = folder / "tiny-imagenet-200" / part
    path.rename(folder / "elsewhere")
    with pytest.raises(UserError) as caught:
        Small().load(folder)
    for word in (f"no {path}:", "tiny-imagenet-200.zip from http://", f"into {folder},"):
        assert word in str(caught.value)


def test_half_of_the_classes_are_refused(folder):
    with pytest.raises(UserError, match="train holds 3 classes, not 200"):
        TINYIMAGENET().load(folder)


def test_annotations_of_unknown_classes_are_refused(folder):
    notes = folder / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    notes.write_text(notes.read_text() + "val_9.JPEG n01443537 0 0 9 9\n")
    with pytest.raises(UserError, match=r"val_annotations.txt:5 names no class of the training set: 'val_9.JPEG n01"):
        Small().load(folder)
