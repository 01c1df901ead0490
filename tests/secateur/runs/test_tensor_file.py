"""The files are those of the safetensors library, written without copies."""

import errno

import numpy as np
import pytest
import safetensors.torch
import torch

from secateur.runs import tensor_file
from secateur.runs.files import checksum_of
from secateur.runs.tensor_file import TYPES, write_tensor_file


def of_each_type():
    shapes = ((2, 3), (), (0, 4), (5,))
    return {
        f"{dtype}_{number}": torch.arange(6).to(dtype).repeat(3)[: torch.Size(shape).numel()].reshape(shape)
        for dtype in TYPES
        for number, shape in enumerate(shapes)
    }


@pytest.mark.parametrize("metadata", [None, {"tree": '{"a": [1, "b"]}'}])
def test_every_byte_is_that_of_the_library(tmp_path, metadata):
    tensors = of_each_type()
    crc = write_tensor_file(tmp_path / "file", tensors, metadata)
    assert (tmp_path / "file").read_bytes() == safetensors.torch.save(tensors, metadata)
    assert crc == checksum_of(tmp_path / "file")
    write_tensor_file(tmp_path / "file", {})
    assert safetensors.torch.load_file(tmp_path / "file") == {}


def test_tensors_of_any_layout_that_share_memory_are_written_as_they_are(tmp_path):
    base = torch.randn(2, 3, 4, 4)
    tensors = {
        "base": base,
        "again": base,
        "part": base[1:, :2],
        "turned": base.permute(3, 0, 1, 2),
        "channels_last": base.to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(base[0]),
        "repeated": torch.ones(1).expand(5),
    }
    write_tensor_file(tmp_path / "file", tensors)
    read = safetensors.torch.load_file(tmp_path / "file")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_contiguous_tensors_on_the_cpu_are_not_copied(tmp_path, monkeypatch):
    tensors, written = {"a": torch.randn(3, 4), "b": torch.rand(5, 5) > 0.5, "c": torch.nn.Parameter(torch.ones(2))}, []

    def record(path, pieces):
        written.extend(np.frombuffer(piece, np.uint8).ctypes.data for piece in pieces)

    monkeypatch.setattr(tensor_file, "write_atomically", record)
    write_tensor_file(tmp_path / "file", tensors)
    assert written[1:] == [tensors[name].data_ptr() for name in ("a", "c", "b")]


def test_a_type_that_the_format_does_not_have_is_named(tmp_path):
    for wrong in (torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse()):
        with pytest.raises(TypeError, match="strange is a tensor of torch"):
            write_tensor_file(tmp_path / "file", {"strange": wrong})
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_midway_leaves_the_old_file(tmp_path, monkeypatch):
    write_tensor_file(tmp_path / "file", {"a": torch.zeros(3)})
    before, left = (tmp_path / "file").read_bytes(), 2

    def full(tensor):
        nonlocal left
        left -= 1
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return memoryview(bytes(tensor.nbytes))

    monkeypatch.setattr(tensor_file, "_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensor_file(tmp_path / "file", {"a": torch.ones(3), "b": torch.ones(3)})
    assert (tmp_path / "file").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
