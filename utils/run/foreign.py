"""Weights of other projects: files of torch.save and safetensors, read as tensors alone. Loading one runs no code."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from utils.data.image_files import free_memory
from utils.errors import UserError, one_line
from utils.run.checkpoint import MASK_PREFIX

#: Under which of these a program may have saved the state dictionary beside other things.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")
#: What DataParallel and torch.compile put before the names.
PREFIX = re.compile(r"^((module|_orig_mod)\.)+")
SAVE = "torch.save(network.state_dict(), file)"
#: So many names of a kind are shown.
SHOWN = 3


def load_foreign(path: Path, network: nn.Module, *, partial: bool) -> list[str]:
    """Load the weights of a file into a network, and return the lines that say what was loaded and what was not.

    With `partial` what is missing, or of another shape, is left as it is. Raises `UserError` where the file cannot be
    read without running code, is larger than it says or than memory, or does not fit the network.
    """
    own = network.state_dict()
    state = {name if name in own else PREFIX.sub("", name): tensor for name, tensor in _tensors(path).items()}
    fitting = {name: state[name] for name in own if name in state and state[name].shape == own[name].shape}
    # A tensor may have two names, and counts of batches say nothing that a network needs.
    known = {own[name].data_ptr() for name in fitting}
    missing = [
        name
        for name in own
        if name not in state and own[name].data_ptr() not in known and not name.endswith("num_batches_tracked")
    ]
    misshaped = [
        f"{name} {tuple(state[name].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in state and name not in fitting
    ]
    unknown = [name for name in state if name not in own]
    found = [("missing", missing), ("of another shape", misshaped), ("unknown", unknown)]
    parts = [f"{len(names)} {what} ({_first(names)})" for what, names in found if names]
    if not fitting or ((missing or misshaped) and not partial):
        hint = "; --partial_checkpoint loads what fits" if fitting else ""
        raise UserError(
            f"--checkpoint_model {path} is of another network: {len(fitting)} of {len(own)} tensors fit; "
            f"{'; '.join(parts)}{hint}"
        )
    try:
        network.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # of a type that does not become numbers of this one
        raise UserError(f"--checkpoint_model {path}: {one_line(error)[:200]}") from error
    notices = [f"{len(fitting)} of {len(own)} tensors loaded from {path}"]
    left = {name: "not loaded" if name == "unknown" else "left at their initialisation" for name, _ in found}
    return notices + [
        f"{what} in {path.name}, {left[what]}: {len(names)} ({_first(names)})" for what, names in found if names
    ]


def _first(names: list[str]) -> str:
    more = len(names) - SHOWN
    shown = [name if name.isprintable() else ascii(name) for name in names[:SHOWN]]  # a terminal obeys some characters
    return ", ".join(name[:150] for name in shown) + (f" and {more} more" if more > 0 else "")


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name."""
    try:
        _check_size(path)
        if path.name.lower().endswith(".safetensors"):
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
            raise UserError(f"--checkpoint_model {path}: {_first([name])} is no plain tensor of numbers, but {kind}")
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
    return f"{type(error).__name__}: {text[:200]}"
