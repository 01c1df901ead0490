"""What a data set must not be, and what is said of it."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.data import array_files, image_files
from secateur.data.array_files import load_arrays
from secateur.data.data_set import Images
from secateur.data.image_files import ImageFiles, check_files, class_folders, list_classes, load_image_files
from secateur.data.options import DataOptions
from secateur.data.prepare import prepare_data
from secateur.data.torchvision_files import fetch, load_cifar, load_torchvision
from secateur.utils.errors import UserError
from tests.secateur.data.small_sets import Coloured, Grey, prepared

CPU = torch.device("cpu")


def of(train=None, test=None, **facts):
    """A data set of 1x2x2 with these images in place of its own."""

    class Mine(Grey):
        def load(self, folder):
            own = super().load(folder)
            return own[0] if train is None else train, own[1] if test is None else test

    for name, value in facts.items():
        setattr(Mine, name, value)
    return Mine


def pixels(number, shape=(1, 2, 2), kind=torch.uint8):
    return torch.zeros(number, *shape, dtype=kind)


LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("data_set", "message"),
    [
        (
            of(Images(pixels(2, kind=torch.float32), LABELS)),
            "Mine: the training images must be tensors, the pixels of type uint8",
        ),
        (
            of(test=Images(pixels(2).numpy(), LABELS)),
            "Mine: the test images must be tensors, the pixels of type uint8",
        ),
        (of(Images(pixels(2), [0, 1])), "Mine: the training images must be tensors, the pixels of type uint8"),
        (
            of(Images(pixels(2, (2, 1, 2)), LABELS)),
            "Mine: the training images and labels are (2, 2, 1, 2) and (2,), not (N, *(1, 2, 2)) and (N,)",
        ),
        (
            of(Images(pixels(3), LABELS)),
            "Mine: the training images and labels are (3, 1, 2, 2) and (2,), not (N, *(1, 2, 2)) and (N,)",
        ),
        (
            of(test=Images(pixels(0), LABELS[:0])),
            "Mine: the test images and labels are (0, 1, 2, 2) and (0,), not (N, *(1, 2, 2)) and (N,)",
        ),
        (
            of(test=Images(pixels(2), LABELS + 1)),
            "Mine: the test labels must be int64 from 0 to 1: they are torch.int64, 1 to 2",
        ),
    ],
)
def test_what_a_data_set_must_not_return_is_named(data_set, message):
    with pytest.raises(UserError) as caught:
        prepared(data_set)
    assert str(caught.value) == message


def test_a_fact_that_is_missing_is_named():
    class Mine(Grey):
        @property
        def std(self):
            raise AttributeError

    with pytest.raises(UserError) as caught:
        prepared(Mine)
    assert str(caught.value) == "the data set Mine does not say its std"


@pytest.mark.parametrize(
    ("seen", "count"), [((0, 1, 2, 3), None), ((0, 1, 2), "a class, 3,"), ((1, 2), "2 classes, such as 0,")]
)
def test_classes_that_are_tested_and_never_trained_on_are_counted(seen, count):
    class Mine(Coloured):
        def load(self, folder):
            train, test = super().load(folder)
            return train.subset(torch.isin(train.labels, torch.tensor(seen)).nonzero().flatten()), test

    wanted = [f"the test images have {count} that no training image has"] if count else []
    assert prepared(Mine).notices == wanted


@pytest.mark.parametrize("name", ["data/file", None])
def test_a_file_that_cannot_be_read_is_named_and_other_errors_stay(name):
    class Mine(Grey):
        def load(self, folder):
            raise PermissionError(errno.EACCES, "Permission denied", name)

    with pytest.raises(UserError if name else PermissionError) as caught:
        prepare_data(Mine(), DataOptions(data_dir=Path("data")), CPU, seed=0)
    if name:
        assert str(caught.value) == "--data_dir data: data/file: Permission denied"


def test_a_smoke_run_downloads_nothing():
    class Mine(Grey):
        def load(self, folder):
            raise UserError(f"nothing is there, and download is {self.download}")

    data = prepare_data(Mine(), DataOptions(batch_size=5), CPU, seed=0, smoke=True)
    assert data.notices == [
        "--smoke: synthetic images of its shape replace the data set: nothing is there, and download is False"
    ]
    assert (data.train.batch_size, len(data.train.images), len(data.held_out.images)) == (2, 2, 2)
    assert prepare_data(Coloured(), DataOptions(batch_size=1), CPU, seed=0, smoke=True).train.batch_size == 1


def test_fingerprints_are_of_what_is_trained_on_and_what_is_held_out():
    assert list(prepared().fingerprints()) == ["training", "test"]
    found = prepared(tuning=True).fingerprints()
    assert {name: part["images"] for name, part in found.items()} == {"training": 90, "validation": 10}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"N": 101}, "--N 101: the data set has 100 training images only"),
        ({"output_dim": 3}, "--output_dim 3 is less than the 4 classes of the data set"),
        ({"tuning": True, "num_valid": 100}, "--num_valid 100: there are 100 training images, and some must be left"),
        (
            {"tuning": True, "N": 4},
            "--tuning: 4 training images are too few to hold a tenth of each class out: --num_valid says how many",
        ),
        ({"input_dim": [2, 4, 4]}, "--input_dim 2 ...: images of 3 channels convert to 1 only"),
    ],
)
def test_options_that_a_data_set_cannot_follow_are_refused_in_these_words(options, message):
    with pytest.raises(UserError) as caught:
        prepared(**options)
    assert str(caught.value) == message


def test_an_archive_may_take_all_the_memory_that_is_free(tmp_path, monkeypatch):
    place = tmp_path / "a.npz"
    arrays = {"x_train": np.zeros((2, 2, 2), np.uint8), "y_train": np.zeros(2, np.int64)}
    np.savez(place, **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    size = 2 * (128 + 8) + 2 * (128 + 16)
    monkeypatch.setattr(array_files, "free_memory", lambda device: size)
    assert [len(part) for part in load_arrays(tmp_path, None)] == [2, 2]
    monkeypatch.setattr(array_files, "free_memory", lambda device: size - 1)
    with pytest.raises(UserError) as caught:
        load_arrays(place, None)
    assert str(caught.value) == f"ARRAYS: {place} unpacks to {size} bytes, and {size - 1} are free"


def test_of_several_archives_the_first_is_named(tmp_path):
    start = "ARRAYS: --data_dir must name an .npz file, or a folder that holds one:"
    for names, found in (("", "none"), ("cbad", "4 (such as a.npz)")):
        for name in names:
            (tmp_path / f"{name}.npz").touch()
        with pytest.raises(UserError) as caught:
            load_arrays(tmp_path, None)
        assert str(caught.value) == f"{start} {tmp_path} holds {found}"


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.25, 0.5)])
def test_pixels_from_0_to_1_become_bytes(tmp_path, values):
    x = np.array(values, np.float32).reshape(2, 1, 1)
    y = np.array([[0], [1]], np.uint8)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    train, _ = load_arrays(tmp_path, None)
    assert train.pixels.flatten().tolist() == [round(255 * value) for value in values]
    assert (train.labels.tolist(), train.labels.dtype) == ([0, 1], torch.int64)


def test_folders_of_classes_are_sorted_and_hidden_ones_left_out(tmp_path):
    for name in ("c", "a", ".cache", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert class_folders(tmp_path) == ["a", "b", "c"]


def test_images_of_a_class_are_listed_by_name_at_any_depth(tmp_path):
    for name in ("b/2.PNG", "a/x/9.jpeg", "a/1.tif", "a/note.txt", "a/0.webp", "b/png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list_classes(tmp_path, ["a", "b"])
    assert [os.path.relpath(file, tmp_path) for file in found.files] == ["a/0.webp", "a/1.tif", "a/x/9.jpeg", "b/2.PNG"]
    assert found.labels == [0, 0, 0, 1]
    with pytest.raises(FileNotFoundError):
        list_classes(tmp_path, ["c"])
    (tmp_path / "d").mkdir()
    with pytest.raises(UserError) as caught:
        list_classes(tmp_path, ["d"])
    endings = ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"
    assert str(caught.value) == f"{tmp_path / 'd'} holds no images ({endings})"
    with pytest.raises(FileNotFoundError):
        check_files([str(tmp_path / "gone.png")])


@pytest.mark.parametrize(("free", "streamed"), [(48, False), (47, True)])
def test_half_of_the_free_memory_may_hold_decoded_images(tmp_path, monkeypatch, free, streamed):
    monkeypatch.setattr(image_files, "free_memory", lambda device: free)
    monkeypatch.setattr(image_files, "preloaded", lambda part, shape: "in memory")
    parts = [ImageFiles(tmp_path, ["a", "b"], [0, 1]), ImageFiles(tmp_path, ["c", "d"], [1, 0])]
    found = load_image_files(parts, (1, 2, 3), Grey())  # 4 images of 6 bytes
    assert (found != ["in memory"] * 2) == streamed
    if streamed:
        assert [(part.files, part.labels.tolist(), part.shape) for part in found] == [
            (["a", "b"], [0, 1], (1, 2, 3)),
            (["c", "d"], [1, 0], (1, 2, 3)),
        ]
    assert load_image_files(parts, (1, 2, 3), Grey(preload_all_data=True)) == ["in memory"] * 2


@pytest.mark.parametrize("read", [load_torchvision, load_cifar])
def test_what_is_not_there_is_not_downloaded_where_that_is_not_wanted(monkeypatch, tmp_path, read):
    asked = []

    def retrieve(request, *_, **__):
        asked.append(request)
        raise OSError("there is no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", retrieve)
    name, place = ("MNIST", [tmp_path / "MNIST" / "raw"]) if read is load_torchvision else ("CIFAR10", [])
    with pytest.raises(UserError, match=f"^{name} cannot be read: "):
        read(name, tmp_path, *place, download=False)
    assert asked == []
    with pytest.raises(UserError, match=f"^{name} cannot be read: "):
        read(name, tmp_path, *place)
    assert asked
    assert [path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_a_part_that_cannot_be_fetched_is_told_with_advice(tmp_path):
    with pytest.raises(UserError) as caught:
        fetch("Omniglot", tmp_path, tmp_path / "a" / "b", lambda: "do this", download=False)
    assert str(caught.value).startswith("Omniglot cannot be read: do this (RuntimeError: Dataset not found")
