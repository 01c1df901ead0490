"""Images and labels in .npz files of many kinds."""

import zipfile

import numpy as np
import pytest
import torch

from secateur.data_sets.ARRAYS import ARRAYS
from secateur.utils.errors import UserError
from tests.commands import QUICK


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write(place, x=(6, 8, 5), dtype=np.int64, **arrays):
    """An .npz of six training and four test images; `x` is a shape or an array, `arrays` replace any."""
    x = images(*x) if isinstance(x, tuple) else x
    labels = np.array([0, 1, 2, 0, 1, 2], dtype)
    content = {"x_train": x, "y_train": labels, "x_test": x[:4], "y_test": labels[:4], **arrays}
    np.savez(place, **{name: array for name, array in content.items() if array is not None})
    return place


def load(place, axes=None):
    data = ARRAYS(axes=axes)
    return data, *data.load(place)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((6, 8, 5), None, (1, 8, 5)),
        ((6, 8, 5, 3), None, (3, 8, 5)),
        ((6, 8, 5, 1), None, (1, 8, 5)),
        ((6, 3, 8, 5), None, (3, 8, 5)),
        ((6, 1, 8, 5), None, (1, 8, 5)),
        ((6, 3, 5, 3), "NHWC", (3, 3, 5)),
        ((6, 3, 5, 3), "NCHW", (3, 5, 3)),
        ((6, 8, 5, 4), "NHWC", (4, 8, 5)),
    ],
)
def test_the_axes_are_told_by_the_shape_or_by_the_user(tmp_path, shape, axes, expected):
    data, train, test = load(write(tmp_path / "my.npz", shape), axes)
    assert (data.input_shape, train.shape, test.shape) == (expected,) * 3
    array = torch.from_numpy(images(*shape))
    last = len(shape) == 4 and (axes == "NHWC" or (axes is None and shape[-1] in (1, 3)))
    planes = array[:, None] if len(shape) == 3 else array.permute(0, 3, 1, 2) if last else array
    assert train.pixels.equal(planes)
    assert test.pixels.equal(planes[:4])
    assert data.num_classes == 3


@pytest.mark.parametrize(("shape", "why"), [((6, 3, 5, 3), "both the second and the last"), ((6, 8, 5, 4), "neither")])
def test_ambiguous_axes_are_refused(tmp_path, shape, why):
    with pytest.raises(UserError, match=rf"{why} .* say --axes NHWC or NCHW"):
        load(write(tmp_path / "my.npz", shape))


def test_floats_from_0_to_1_become_256_steps(tmp_path):
    x = np.linspace(0, 1, 6 * 4).reshape(6, 2, 2).astype(np.float32)
    data, train, _ = load(write(tmp_path / "my.npz", x))
    assert train.pixels.flatten().tolist() == [round(number / 23 * 255) for number in range(24)]
    assert list(data.mean) == pytest.approx([0.5], abs=0.003)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16])
def test_labels_may_be_of_any_whole_type_and_stand_in_a_column(tmp_path, dtype):
    column = np.array([[2], [1], [0], [0], [1], [1]], dtype)
    _, train, _ = load(write(tmp_path / "my.npz", dtype=dtype, y_train=column))
    assert train.labels.tolist() == [2, 1, 0, 0, 1, 1]
    assert train.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": images(6, 8, 5).astype(np.float64)}, "x_train .* float64, and not all from 0 to 1"),
        ({"x": np.full((6, 8, 5), np.nan)}, "not all from 0 to 1"),
        ({"x": images(6, 8, 5).astype(np.int64)}, "int64: uint8 from 0 to 255 or floats"),
        ({"x": images(6, 8)}, r"of shape \(6, 8\)"),
        ({"y_train": np.eye(6)}, r"y_train .* float64 \(6, 6\): whole numbers"),
        ({"y_train": np.arange(5)}, "6 images in x_train, 5 labels in y_train"),
        ({"x_test": images(4, 5, 8)}, r"\(1, 8, 5\) for training but \(1, 5, 8\)"),
        ({"y_test": None}, "has no array y_test; it has x_train, y_train, x_test"),
        ({"y_test": np.array([{}] * 4, object)}, "without pickles"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, change, match):
    with pytest.raises(UserError, match=match) as caught:
        load(write(tmp_path / "my.npz", **change))
    assert "\n" not in str(caught.value)


def test_of_hundreds_of_names_a_few_are_told(tmp_path):
    with pytest.raises(UserError, match=r"has no array y_test; it has x_train, .* \.\.\. .*a299") as caught:
        load(write(tmp_path / "my.npz", y_test=None, **{f"a{number}": np.zeros(1) for number in range(300)}))
    assert len(str(caught.value)) < 1000


def claiming(place, shape, content=b""):
    """An .npz whose x_train says that it is of this shape and holds these bytes."""
    write(place, x_train=None)
    with zipfile.ZipFile(place, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(content)
    return place


@pytest.mark.parametrize("shape", [(6, 8, 5), (10**9, 64, 64), (2**40, 2**20, 1), (2**62, 8, 8)])
def test_an_array_that_claims_more_than_it_holds_is_one_line(tmp_path, shape):
    with pytest.raises(UserError, match=r"my\.npz cannot be read as an .npz file") as caught:
        load(claiming(tmp_path / "my.npz", shape, bytes(100)))
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_more_than_there_is_memory_for_is_refused_unread(tmp_path, monkeypatch):
    bomb = claiming(tmp_path / "my.npz", (6, 1000, 1000), bytes(6_000_000))
    assert bomb.stat().st_size < 20_000
    with pytest.raises(UserError, match=r"\(1, 1000, 1000\) for training but \(1, 8, 5\)"):  # it was read
        load(bomb)
    monkeypatch.setattr("secateur.data.array_files.free_memory", lambda device: 6_000_000)
    with pytest.raises(UserError, match=r"my\.npz unpacks to 6,00\d,\d+ bytes, and 6,000,000 are free"):
        load(bomb)


def test_the_file_is_named_or_the_only_one_of_a_folder(tmp_path):
    with pytest.raises(UserError, match=f"or a folder that holds one: {tmp_path} holds none"):
        load(tmp_path)
    write(tmp_path / "a.npz")
    assert len(load(tmp_path)[1]) == len(load(tmp_path / "a.npz")[1]) == 6
    write(tmp_path / "b.npz")
    with pytest.raises(UserError, match=r"holds 2 \(such as a.npz\)"):
        load(tmp_path)
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UserError, match=r"c\.npz is not an \.npz file"):
        load(tmp_path / "c.npz")


def test_a_run_by_the_command_line(tmp_path, run):
    write(tmp_path / "my.npz", (6, 8, 8, 3))
    done = run(f"--model LeNet300 --data_set ARRAYS --data_dir {tmp_path / 'my.npz'} --epochs 1 {QUICK}")
    assert (done.status, done.results["epochs"]) == (0, 1)
    write(tmp_path / "my.npz", (6, 8, 8, 3), y_train=np.array([0, -1, 1, 1, 1, 1]))
    wrong = run(f"--model LeNet300 --data_set ARRAYS --data_dir {tmp_path / 'my.npz'} --epochs 1 {QUICK}")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "ARRAYS: the training labels must be int64 from 0 to 2: they are torch.int64, -1 to 1" in wrong.err


@pytest.mark.parametrize("shape", [(6, 8, 0), (6, 0, 5, 3), (6, 3, 8, 0)])
def test_images_without_a_pixel_are_refused(tmp_path, shape):
    with pytest.raises(UserError, match=r"x_train of .* which holds no pixel"):
        load(write(tmp_path / "my.npz", shape))
