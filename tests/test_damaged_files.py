"""A damaged file of any kind is one line that names it, with status 2: no traceback, no folder."""

import json

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from secateur.config.command_line import parse
from secateur.data.array_files import load_arrays
from secateur.data.decoding import decode
from secateur.data.torchvision_files import load_torchvision
from secateur.grid.read_grid import read_grid
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.runs.external_weights import load_external
from tests.commands import QUICK
from tests.damaged_files import (
    GRID,
    arrays,
    broken_arrays,
    broken_grid,
    broken_images,
    broken_mnist,
    broken_weights,
    image,
    mnist_files,
    npz_of,
    weights,
)
from tests.fuzzing import HOOKS, REGISTRY, cases, damages, refused_or

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
METADATA = {
    "format": 1,
    "model": "LeNet300",
    "data_set": "DIGITS",
    "input_shape": [1, 8, 8],
    "num_classes": 10,
    "options": {},
    "prune_criterion": "SNIP",
    "loss": "CrossEntropy",
    "cuts": [[["features.1", [0, 1]]]],
    "seed": 333,
    "data_dir": "/nowhere",
    "data_options": {},
    "disable_autoconfig": False,
}


def checkpoint_of(folder, content):
    (folder / "run" / "models").mkdir(parents=True, exist_ok=True)
    path = folder / "run" / "models" / "LeNet300_finished.json"
    path.write_bytes(content)
    return path


@cases(120)
@given(st.sampled_from(sorted(METADATA)), json_values)
@example("data_dir", "a\0b")
@example("data_dir", "/" + "a" * 5000)
@example("model", "torchvision:../x")
def test_any_metadata_of_a_checkpoint_is_read_or_refused(tmp_path, name, value):
    checkpoint_of(tmp_path, json.dumps(METADATA | {name: value}).encode())
    command = ["--eval", "--checkpoint_name", "run", "--results_dir", str(tmp_path)]
    refused_or(lambda: parse(command, REGISTRY, HOOKS), "LeNet300_finished", "--", str(value))


@cases(60)
@given(damages())
@example(lambda _: b"[" * 100_000)
@example(lambda _: b"9" * 10_000)
def test_a_damaged_checkpoint_is_refused_by_its_path(tmp_path, damage):
    path = checkpoint_of(tmp_path, damage(json.dumps(METADATA).encode()))
    refused_or(lambda: find_checkpoint(tmp_path, "run", None), str(path)[: -len(".json")])


@cases(120)
@given(damages())
@example(lambda _: b"[common]\ndata_dir = 'a\\u0000b'\nresults_dir = \"a\\u0000b\"\n")
@example(lambda _: b"[common]\nseed = [1, nan, inf, -1]\n")
@example(lambda _: b"[common]\nepochs = 1979-05-27\n")
@example(lambda _: b"common = 1\n")
@example(lambda _: b"a = " + b"[" * 5000)
def test_a_damaged_grid_is_read_or_refused_by_its_path(tmp_path, damage):
    path = tmp_path / "grid.toml"
    path.write_bytes(damage(GRID))
    refused_or(lambda: read_grid(["--grid", str(path)], REGISTRY, HOOKS), str(path))


@cases(120)
@given(damages())
def test_a_damaged_npz_is_read_or_refused_by_its_path(tmp_path, damage):
    path = tmp_path / "arrays.npz"
    path.write_bytes(damage(arrays()))
    refused_or(lambda: load_arrays(path, None), str(path))


@cases(60)
@given(
    st.sampled_from(["x_train", "y_train", "x_test", "y_test"]),
    st.sampled_from([np.uint8, np.int64, np.float64, np.complex64, np.str_, np.bool_, "datetime64[s]"]),
    st.lists(st.integers(0, 4), max_size=5),
)
def test_arrays_of_any_type_and_shape_are_read_or_refused(tmp_path, name, dtype, shape):
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    content = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    path = tmp_path / "arrays.npz"
    path.write_bytes(npz_of(**content | {name: np.zeros(shape, dtype)}))
    refused_or(lambda: load_arrays(path, None), str(path))


@cases(60)
@given(st.sampled_from(["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]), damages())
def test_a_damaged_idx_file_is_read_or_refused_by_its_path(tmp_path, name, damage):
    folder = tmp_path / "MNIST" / "raw"
    mnist_files(folder)
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    refused_or(lambda: load_torchvision("MNIST", tmp_path, folder), name)


@pytest.mark.filterwarnings("ignore:::PIL")  # it warns of what it then refuses
@cases(120)
@given(st.sampled_from(["png", "jpeg", "bmp", "gif", "tiff", "webp"]), damages())
def test_a_damaged_image_is_read_or_refused_by_its_path(tmp_path, form, damage):
    path = tmp_path / "image"
    path.write_bytes(damage(image(form)))
    refused_or(lambda: decode(str(path), (3, 8, 8)), str(path))


@cases(150)
@given(st.sampled_from([".pth", ".pt", ".safetensors"]), damages())
def test_damaged_weights_are_read_or_refused_by_their_path(tmp_path, ending, damage):
    path = tmp_path / f"weights{ending}"
    path.write_bytes(damage(weights(ending)))
    refused_or(lambda: load_external(path, torch.nn.Linear(3, 2), partial=True), str(path))


@pytest.mark.parametrize("make", [broken_images, broken_arrays, broken_mnist, broken_weights, broken_grid])
def test_a_damaged_file_is_one_line_and_leaves_no_run_folder(run, tmp_path, make):
    (tmp_path / "data").mkdir()
    command, name = make(tmp_path / "data")
    refused = run(f"--model LogisticRegression --epochs 1 --data_dir {tmp_path / 'data'} {command} {QUICK}")
    assert (refused.status, refused.folder, refused.err.count("\n")) == (2, None, 1)
    assert name in refused.err
    assert not (tmp_path / "results").exists()
