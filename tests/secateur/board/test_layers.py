"""The maps of which weights a checkpoint has kept."""

import base64
import json
import os

import numpy as np
import pytest
import torch

from secateur.board.layers import MAP, layers_of
from secateur.runs.tensor_file import pack, write_tensor_file


@pytest.fixture
def written(tmp_path):
    """Write tensors as a run writes those of its checkpoint; returns its layers by name."""

    def write(tensors, name="Net_finished"):
        (tmp_path / "models").mkdir(exist_ok=True)
        write_tensor_file(tmp_path / "models" / f"{name}.safetensors", *pack(tensors))
        return {layer["name"]: layer for layer in layers_of(tmp_path)["layers"]}

    return write


def map_of(layer):
    return np.frombuffer(base64.b64decode(layer["map"]), np.uint8).reshape(layer["rows"], layer["columns"])


def test_a_small_layer_is_shown_weight_by_weight(written):
    found = written({"fc.weight": torch.tensor([[0.0, 1.5, -2.0], [0.0, 0.0, 3.0]]), "fc.bias": torch.ones(2)})
    assert [*found] == ["fc"]
    assert (found["fc"]["shape"], found["fc"]["weights"], found["fc"]["kept"]) == ([2, 3], 6, 3)
    assert map_of(found["fc"]).tolist() == [[0, 255, 255], [0, 0, 255]]


def test_a_large_layer_is_averaged(written):
    weight = torch.zeros(2 * MAP, 3 * MAP)
    weight[0, :3] = 1  # half of a cell of 2 x 3 weights
    weight[-1, -1] = 1
    (layer,) = written({"fc.weight": weight}).values()
    cells = map_of(layer)
    assert cells.shape == (MAP, MAP)
    assert (cells[0, 0], cells[-1, -1], np.count_nonzero(cells)) == (128, 43, 2)
    assert layer["kept"] == 4


def test_packed_tensors_are_read_as_they_were(written):
    torch.manual_seed(1)
    mask = torch.rand(64, 20, 3, 3) < 0.1
    weight = torch.randn(64, 20, 3, 3) * mask
    weight[0, 0] = 0  # a weight that its mask keeps may be zero too
    (layer,) = written({"conv.weight": weight, "masks/conv": mask}).values()
    assert layer["kept"] == int(weight.count_nonzero())
    expected = (weight != 0).reshape(64, 180).numpy()
    assert np.array_equal(map_of(layer)[:, 0] > 0, expected[:, :1].any(1))
    assert map_of(layer).shape == (64, MAP)


def test_the_finished_network_is_shown_else_the_newest_checkpoint(written, tmp_path):
    assert layers_of(tmp_path) == {"checkpoint": "", "layers": [], "problem": "there is no checkpoint yet"}
    for time, name in enumerate(("Net_epoch_0", "Net_finished", "Net_compact")):
        written({"fc.weight": torch.ones(2, 2)}, name)
        os.utime(tmp_path / "models" / f"{name}.safetensors", (time, time))
    assert layers_of(tmp_path)["checkpoint"] == "Net_finished"
    (tmp_path / "models" / "Net_finished.safetensors").unlink()
    assert layers_of(tmp_path)["checkpoint"] == "Net_compact"


@pytest.mark.parametrize(
    "record",
    [
        {"fc.weight": {"shape": [2**40, 2**40], "bits": "bits", "values": "values"}},
        {"fc.weight": {"shape": [3, 30], "bits": "bits", "values": "values"}},
        {"fc.weight": {"shape": [2, 4], "bits": "nowhere", "values": "values"}},
        {"fc.weight": {"shape": "x", "bits": "bits", "values": "values"}},
        {"fc.weight": {"shape": [2, 4]}},
        {"fc.weight": 3},
        [],
    ],
)
def test_a_record_that_does_not_fit_is_told(tmp_path, record):
    (tmp_path / "models").mkdir()
    tensors = {"fc.weight/values": torch.ones(2), "bits": torch.zeros(1, dtype=torch.uint8), "values": torch.ones(3)}
    path = tmp_path / "models" / "Net_finished.safetensors"
    write_tensor_file(path, tensors, {"packed": json.dumps(record)})
    found = layers_of(tmp_path)
    assert found.get("problem") or not any("map" in layer for layer in found["layers"])


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"\xff" * 100), os.mkfifo, lambda path: path.mkdir()])
def test_what_is_no_checkpoint_is_told(tmp_path, make):
    (tmp_path / "models").mkdir()
    make(tmp_path / "models" / "Net_finished.safetensors")
    found = layers_of(tmp_path)
    assert (found["layers"], bool(found["problem"])) == ([], True)


def test_a_type_that_numpy_has_not_is_told(written, tmp_path):
    written({"fc.weight": torch.ones(2, 2, dtype=torch.bfloat16)})
    assert "problem" in layers_of(tmp_path)
