"""The folders of fast.ai's archives: train/<class>, val/<class>, photographs of many sizes."""

import urllib.error
import urllib.request

import pytest
from PIL import Image

from secateur.data_sets.IMAGENETTE import IMAGENETTE
from secateur.data_sets.IMAGEWOOF import IMAGEWOOF
from secateur.utils.errors import UserError

KINDS = {IMAGENETTE: "imagenette2", IMAGEWOOF: "imagewoof2"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def urlopen(*_, **__):
        raise urllib.error.URLError("there is no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def write(folder, side, classes=10, parts=("train", "val")):
    """Two photographs a class and part, one upright; the middle square is bright, the margins are black."""
    for part in parts:
        for number in range(classes):
            place = folder / part / f"n{number:08}"
            place.mkdir(parents=True)
            for name, size in (("a", (side, side * 2)), ("b", (side + 80, side))):
                picture = Image.new("RGB", size)
                left, top = (size[0] - side) // 2, (size[1] - side) // 2
                picture.paste((20 * number + 50,) * 3, (left, top, left + side, top + side))
                picture.save(place / f"ILSVRC2012_val_{name}.JPEG", quality=95)


def load(kind, folder, size=16):
    return kind(image_size=size).load(folder)


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_the_middle_square_of_each_photograph(tmp_path, kind, name):
    write(tmp_path / f"{name}-160", 160)
    train, test = load(kind, tmp_path)
    for images in (train, test):
        assert images.labels.tolist() == [number for number in range(10) for _ in range(2)]
        assert images.shape == (3, 16, 16)
        inner = images.pixels[:, :, 2:-2, 2:-2].float().mean((1, 2, 3))
        assert (inner - (20 * images.labels + 50)).abs().max() <= 3  # of JPEG


def test_of_several_archives_the_smallest_that_need_not_be_enlarged_is_read(tmp_path):
    for name, side in (("imagenette2-160", 160), ("imagenette2-320", 320)):
        write(tmp_path / name, side)
    for size, name in ((160, "imagenette2-160"), (161, "imagenette2-320"), (400, "imagenette2-320")):
        load(IMAGENETTE, tmp_path, size)
        assert (tmp_path / name / "val" / ".secateur" / f"3x{size}x{size}.npy").exists()


@pytest.mark.parametrize(("kind", "name"), KINDS.items())
def test_missing_images_are_told_with_their_place_and_address(tmp_path, kind, name):
    with pytest.raises(UserError) as caught:
        load(kind, tmp_path)
    text = str(caught.value)
    assert f"unpack {name}-160.tgz from https://s3.amazonaws.com/fast-ai-imageclas/{name}-160.tgz into" in text
    assert str(tmp_path / f"{name}-160") in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("classes", "parts", "found"), [(9, ("train", "val"), "train holds 9"), (10, ("train",), "val holds 0")]
)
def test_half_an_archive_is_refused(tmp_path, classes, parts, found):
    write(tmp_path / "imagenette2", 16, classes, parts)
    with pytest.raises(UserError, match=rf"imagenette2/{found} classes, not 10: unpack"):
        load(IMAGENETTE, tmp_path)
