"""Tensors of a state as they are read."""

import torch

from secateur.runs.checkpoint import _decoded


def test_a_tensor_of_a_state_has_memory_of_its_own():
    read = torch.arange(16.0).view(1, 2, 2, 4)
    for last in (True, False):
        form = {"tensor": "a", "channels_last": last, "on_cpu": False}
        decoded = _decoded(form, {"a": read}, torch.device("cpu"))
        assert torch.equal(decoded, read)
        assert decoded.data_ptr() != read.data_ptr()
        assert decoded.is_contiguous(memory_format=torch.channels_last) == last
