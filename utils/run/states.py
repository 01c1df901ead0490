"""The states of a run that is going on, in its folder's state/: what `--resume` goes on from.

A state is a tree of dictionaries, lists, tuples, numbers, text, None and tensors. The tensors stand in a file of
safetensors, the tree around them as JSON in that file's head; so that one checksum is of everything, and no pickle is
involved. The last two are kept: where the last one is not whole, there is the one before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from utils.errors import UserError, one_line
from utils.run.checkpoint import read_tensors, write_tensors
from utils.run.checkpoint_facts import FORMAT, beside
from utils.run.files import read_sealed

#: How many are kept.
KEPT = 2


def write_state(folder: Path, tree: dict[str, Any], **facts: object) -> None:
    """Write the next state into `folder`, with `facts` for people in its json, and remove all but the last two."""
    before = _written(folder)
    path = folder / f"state_{_number(before[-1]) + 1 if before else 1:06d}"
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_encoded(tree, tensors))
    write_tensors(path, tensors, facts, {"tree": plain})
    kept = {path.stem for path in [*before, path][-KEPT:]}
    for old in folder.glob("*"):
        if old.stem not in kept:
            old.unlink(missing_ok=True)


def read_last_state(folder: Path, device: torch.device) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the last state that is whole, None where none was written, and a line for each later one that is not.

    Tensors go to `device`. Raises `UserError` where states were written and none is whole.
    """
    problems = []
    for path in reversed(_written(folder)):
        try:
            return _read(path, device), problems
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"--resume: no state of the run is whole: {problems[0]}")
    return None, problems


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        facts = read_sealed(beside(path, ".json"))
        if facts["format"] != FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, and this version reads {FORMAT}")
        tensors = read_tensors(path, {"crc32": facts["crc32"]})
        with safe_open(beside(path, ".safetensors"), "pt") as file:
            tree = json.loads(file.metadata()["tree"])
        return _decoded(tree, tensors, device)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"the state {path}.json cannot be read: {reason}") from error


def _written(folder: Path) -> list[Path]:
    """The states that are there, the oldest first. The json is written last: without it there is no state."""
    return sorted((path.with_suffix("") for path in folder.glob("state_*.json")), key=_number)


def _number(path: Path) -> int:
    digits = path.name.removeprefix("state_")
    return int(digits) if digits.isdecimal() else 0


def _encoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Turn a tree into what JSON holds, its tensors moved to `tensors`; dictionaries keep their order and their keys.

    Raises `TypeError` for what is none of these.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        last = value.dim() == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
        return {"tensor": name, "on_cpu": value.device.type == "cpu", "channels_last": last}
    if isinstance(value, dict):
        return {"dict": [[_encoded(key, tensors), _encoded(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_encoded(item, tensors) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a state holds a {type(value).__name__}, which is not numbers, text or tensors")


def _decoded(value: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_decoded(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        # In memory of its own, which torch aligns: products of matrices may depend on that in their last bits.
        form = torch.channels_last if value["channels_last"] else torch.contiguous_format
        tensor = tensors[value["tensor"]]
        # A single number on the CPU is the count of an optimizer, which would wait for the device at each step.
        place = "cpu" if value["on_cpu"] and not tensor.dim() else device
        return tensor.to(place, copy=True, memory_format=form)
    if "tuple" in value:
        return tuple(_decoded(item, tensors, device) for item in value["tuple"])
    return {_decoded(key, tensors, device): _decoded(item, tensors, device) for key, item in value["dict"]}
