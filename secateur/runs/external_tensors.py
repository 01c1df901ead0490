"""Reads files of torch.save and safetensors as tensors alone: to read one runs no code."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from secateur.runs.checkpoint import MASK_PREFIX, check_header
from secateur.runs.external_names import first
from secateur.utils.errors import UserError, one_line, shortened
from secateur.utils.memory import free_memory

#: Under which of these a program may have saved the state dictionary beside other things.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")
SAVE = "torch.save(network.state_dict(), file)"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name, in the file's order, on the CPU.

    Raises `UserError` where it cannot be read without running code, is larger than it says or than memory, is a
    checkpoint of this program, or holds no plain tensors of numbers by name.
    """
    try:
        _check_size(path)
        if path.name.lower().endswith(".safetensors"):
            check_header(path)
            content = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error
                content = torch.load(path, weights_only=True, map_location="cpu")
    except UserError:
        raise
    except Exception as error:  # of readers that raise whatever the bytes make them
        raise UserError(f"--checkpoint_model {path} cannot be read: {_reason(error)}") from error
    state = _state_of(content)
    if not state:
        raise UserError(f"--checkpoint_model {path} holds no tensors by name: save it by {SAVE}")
    if any(name.startswith(MASK_PREFIX) for name in state):
        raise UserError(
            f"--checkpoint_model {path} is a checkpoint of this program, with masks: name its run folder with "
            f"--checkpoint_name, and --checkpoint_model {path.name.removesuffix('.safetensors')}"
        )
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            kind = f"{tensor.layout}, {tensor.dtype} on {tensor.device}"
            raise UserError(f"--checkpoint_model {path}: {first([name])} is not a plain tensor of numbers but {kind}")
    return state


def _state_of(content: Any) -> dict[str, Tensor]:
    """Find the tensors by name, which may lie in a dictionary beside an epoch and an optimizer."""
    for _ in range(2):  # a dictionary may hold itself
        if isinstance(content, dict):
            content = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), content)
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _check_size(path: Path) -> None:
    """Refuse what would take more memory than there is, and archives that unpack to more than they are."""
    size = path.stat().st_size
    if size > (free := free_memory(torch.device("cpu"))):
        raise UserError(f"--checkpoint_model {path} holds {size:,} bytes, and {free:,} bytes of memory are free")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > size:  # torch.save compresses nothing
            raise UserError(
                f"--checkpoint_model {path} of {size:,} bytes would unpack to {unpacked:,}: no such is loaded"
            )


def _reason(error: Exception) -> str:
    text = one_line(error)
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return f"beside tensors it holds {found[1].strip('.')}, which may run code: save the weights alone by {SAVE}"
    # torch's own advice before this is to load it all the same.
    text = text.rpartition("WeightsUnpickler error: ")[2].partition(" Check the documentation")[0]
    return f"{type(error).__name__}: {shortened(text, 300)}"
