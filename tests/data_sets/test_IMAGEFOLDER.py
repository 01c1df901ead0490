"""Folders of image files in the true formats."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.data import image_files
from secateur.data.options import DataOptions
from secateur.data.prepare import prepare_data
from secateur.data_sets.IMAGEFOLDER import IMAGEFOLDER
from secateur.utils.errors import UserError
from tests.permissions import only

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def picture(path, colour, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, as PNG, which keeps every pixel."""
    for part, count in (("train", 3), ("test", 2)):
        for name, colour in COLOURS.items():
            for number in range(count):
                picture(tmp_path / part / name / f"{number}.png", colour)
    return tmp_path


def load(folder, size=None):
    data = IMAGEFOLDER(image_size=size)
    return data, *data.load(folder)


def test_images_and_classes_are_read_in_the_order_of_their_names(folder):
    data, train, test = load(folder)
    assert (data.input_shape, data.num_classes) == ((3, 8, 8), 2)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.labels.tolist() == [0, 0, 1, 1]
    for label, colour in enumerate(COLOURS.values()):
        expected = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
        assert all(image.equal(expected) for image in train.pixels[train.labels == label])
    # half of the images are red, half blue
    assert data.mean == pytest.approx([0.5, 0.001, 0.5], abs=0.002)


def test_the_second_time_nothing_is_decoded(folder, monkeypatch):
    _, first, _ = load(folder)

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(image_files, "_decoded", refuse)
    _, again, _ = load(folder)
    assert again.pixels.equal(first.pixels)
    with pytest.raises(AssertionError, match="decoded again"):
        load(folder, size=16)


@pytest.mark.parametrize(
    "change", ["added", "rewritten", "touched", "torn", "scribbled", "flipped", "no note", "deep", "sparse"]
)
def test_a_stale_or_damaged_cache_is_made_anew(folder, change):
    load(folder)
    cached = folder / "train" / ".secateur" / "3x8x8.npy"
    if change == "added":
        picture(folder / "train" / "red" / "9.png", COLOURS["red"])
    elif change == "rewritten":
        picture(folder / "train" / "red" / "0.png", (0, 255, 0), (9, 8))
    elif change == "touched":
        os.utime(folder / "train" / "red" / "0.png", (1, 1))
    elif change == "torn":
        cached.write_bytes(cached.read_bytes()[:-10])
    elif change == "scribbled":
        cached.write_bytes(b"x" * cached.stat().st_size)
    elif change == "flipped":  # one bit of a pixel
        content = bytearray(cached.read_bytes())
        content[-3] ^= 1
        cached.write_bytes(content)
    elif change == "sparse":
        os.truncate(cached, 40 * 2**30)
    else:
        cached.with_suffix(".json").write_text("{" if change == "no note" else "[" * 100_000)
    before = cached.stat().st_mtime_ns
    _, train, _ = load(folder)
    assert len(train) == 6 + (change == "added")
    assert (0, 255, 0) in {tuple(image[:, 4, 4].tolist()) for image in train.pixels} or change != "rewritten"
    assert cached.stat().st_mtime_ns > before
    assert np.load(cached).shape == tuple(train.pixels.shape)


def test_larger_images_are_shrunk_until_they_cover_the_size(tmp_path):
    for part in ("train", "val"):
        picture(tmp_path / part / "a" / "0.png", (10, 20, 30), (40, 16))
        picture(tmp_path / part / "b" / "0.png", (30, 20, 10), (4, 6))
    _, train, test = load(tmp_path, size=8)
    assert train.pixels.shape == test.pixels.shape == (2, 3, 8, 8)
    assert train.pixels[:, :, 0, 0].tolist() == [[10, 20, 30], [30, 20, 10]]


def test_without_permission_to_write_the_images_are_decoded_each_time(folder, monkeypatch):
    monkeypatch.setattr(image_files, "CACHE", "missing/deeper")  # as a folder that cannot be made
    _, train, _ = load(folder)
    assert len(train) == 6
    assert not (folder / "train" / "missing").exists()


def test_wrong_folders_are_one_line(folder, tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere/train: --data_dir must hold"):
        load(tmp_path / "nowhere")
    (folder / "train" / "red" / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"the image .*red/1.png cannot be read"):
        load(folder)
    (folder / "test" / "green").mkdir()
    with pytest.raises(UserError, match="hold different classes: green"):
        load(folder)
    (folder / "train" / "green").mkdir()
    with pytest.raises(UserError, match=r"green holds no images \(\.bmp"):
        load(folder)


def test_a_link_to_nothing_is_named(folder):
    (folder / "train" / "red" / "0.png").unlink()
    (folder / "train" / "red" / "0.png").symlink_to(folder / "gone.png")
    with pytest.raises(UserError, match=r"train/red/0.png is a broken link to .*gone.png: remove"):
        load(folder)


def test_a_pipe_that_is_named_like_an_image_is_never_opened(folder):
    os.mkfifo(folder / "train" / "blue" / "0.pipe.png")
    with pytest.raises(UserError, match=r"train/blue/0.pipe.png is not a file"):
        load(folder)


@pytest.mark.parametrize("place", ["", "train", "train/red", "train/red/0.png"])
def test_what_may_not_be_read_is_one_line(folder, place):
    data = IMAGEFOLDER()
    with only(0, folder / place), pytest.raises(UserError, match="Permission denied"):
        prepare_data(data, DataOptions(data_dir=folder), torch.device("cpu"), seed=0)


def png(path, width, height, extra=b""):
    """A file that claims an image of this size, of which it has one row; `extra` are chunks before that."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), *([(b"zTXt", extra)] if extra else []), (b"IDAT", zlib.compress(bytes(1 + 3 * width)))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in [*chunks, (b"IEND", b"")]))


def test_an_image_that_unpacks_to_gigabytes_is_one_line(folder):
    file = folder / "train" / "blue" / "0.png"
    png(file, 60_000, 60_000)
    with pytest.raises(UserError, match=r"0\.png cannot be read: Image size \(3600000000 pixels\) exceeds") as caught:
        load(folder, size=8)
    assert "\n" not in str(caught.value)
    png(file, 8, 8, b"comment\0\0" + zlib.compress(bytes(10**8)))  # 100 kB
    with pytest.raises(UserError, match=r"0\.png cannot be read: Decompressed data too large"):
        load(folder, size=8)


def test_no_other_program_is_started_for_an_image(folder, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *words, **options: pytest.fail(f"{words} was started"))
    eps = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (folder / "train" / "blue" / "0.png").write_text(eps)
    with pytest.raises(UserError, match=r"0\.png cannot be read: cannot identify image file"):
        load(folder, size=8)


def test_where_there_is_a_terminal_it_shows_how_far_decoding_has_come(folder, monkeypatch):
    asked = []

    def track(done, what, total, console, disable):
        asked.append((what, total, console.stderr, disable))
        return done

    monkeypatch.setattr(image_files, "track", track)
    for shown in (True, False):
        monkeypatch.setattr(image_files.sys.stderr, "isatty", lambda shown=shown: shown, raising=False)
        image_files._decoded([str(path) for path in sorted(folder.rglob("*.png"))], (3, 8, 8))
    assert asked == [("decoding images", 10, True, False), ("decoding images", 10, True, True)]
