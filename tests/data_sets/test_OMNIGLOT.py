"""Omniglot's two halves as they are unpacked, with few characters."""

import urllib.error
import urllib.request

import pytest
import torch
from PIL import Image, ImageDraw

from secateur.data_sets.OMNIGLOT import OMNIGLOT, PARTS
from secateur.utils.errors import UserError

CHARACTERS = ("Greek/character01", "Greek/character02", "Korean/character01")


class Small(OMNIGLOT):
    num_classes = 6


@pytest.fixture
def folder(tmp_path):
    """Three characters in each half, twenty drawings each; the ink of character i is a bar of 15 * (i + 1) rows."""
    for half, part in enumerate(PARTS):
        for number, name in enumerate(CHARACTERS):
            place = tmp_path / "omniglot-py" / part / name
            place.mkdir(parents=True)
            label = half * len(CHARACTERS) + number
            for drawing in range(1, 21):
                picture = Image.new("1", (105, 105), 1)
                ImageDraw.Draw(picture).rectangle((0, 0, 104, 15 * (label + 1) - 1), fill=0)
                picture.save(place / f"{label + 1:04}_{drawing:02}.png")
    return tmp_path


def test_both_halves_are_joined_and_the_last_drawings_of_each_character_held_out(folder):
    train, test = Small().load(folder)
    assert train.labels.bincount().tolist() == [16] * 6
    assert test.labels.bincount().tolist() == [4] * 6
    assert train.shape == test.shape == (1, 28, 28)
    for images in (train, test):
        share = images.pixels.float().mean((1, 2, 3)) / 255
        assert (share - 15 * (images.labels + 1) / 105).abs().max() < 0.01, "ink is bright, and each label has its own"
        assert (images.pixels[:, 0, 0] > 200).all()
        assert (images.pixels[:, 0, -1] < 55).all()


def test_which_drawings_are_held_out(folder):
    for drawing, value in ((16, 1), (17, 0)):
        blank = Image.new("1", (105, 105), value)
        blank.save(folder / "omniglot-py" / PARTS[0] / CHARACTERS[0] / f"0001_{drawing}.png")
    train, test = Small().load(folder)
    assert (train.pixels[:16].flatten(1).max(1).values == 0).tolist() == [False] * 15 + [True]
    assert (test.pixels[:4].flatten(1).min(1).values == 255).tolist() == [True, False, False, False]


def test_the_statistics_are_those_of_the_training_images(folder):
    data = Small()
    train, _ = data.load(folder)
    scaled = train.pixels.double() / 255
    assert list(data.mean) == pytest.approx([float(scaled.mean())], abs=1e-6)
    assert list(data.std) == pytest.approx([float(scaled.std(correction=0))], abs=1e-6)
    assert torch.equal(train.labels, train.labels.sort().values)


def test_missing_files_are_told_with_their_place_and_address(tmp_path, monkeypatch):
    def urlopen(*_, **__):
        raise urllib.error.URLError("there is no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(UserError) as caught:
        OMNIGLOT().load(tmp_path)
    for word in ("images_background.zip", "images_evaluation.zip", "https://", str(tmp_path / "omniglot-py")):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_characters_and_other_names_are_refused(folder):
    with pytest.raises(UserError, match="holds 6 characters, not 1623: unpack"):
        OMNIGLOT().load(folder)
    place = folder / "omniglot-py" / PARTS[1] / CHARACTERS[2]
    (place / "0006_20.png").rename(place / "last.png")
    with pytest.raises(UserError, match=r"last.png is not named <character>_<drawing>.png"):
        Small().load(folder)
