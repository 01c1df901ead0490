"""Checkpoints and states on disk: tensors as safetensors, all else as JSON. No pickle: loading runs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from secateur.channels.folding import make_plain
from secateur.channels.shuffles import OpenShuffle, open_shuffles
from secateur.channels.surgery import replay
from secateur.pruning.masks import Masks
from secateur.runs.checkpoint_metadata import FORMAT, STATE_FORMAT, Checkpoint, beside, number_of, states_in
from secateur.runs.files import checksum_of, parse_json, read_checksummed, write_checksummed
from secateur.runs.tensor_file import pack, unpack, write_tensor_file
from secateur.utils.errors import UserError, one_line
from secateur.utils.memory import free_memory
from secateur.utils.stateful import load_own

MASK_PREFIX = "masks/"
#: The key of metadata that says whether channels were removed where shuffles are open, see secateur/channels/shuffles.
OPEN = "shuffles_open"


def replay_removals(checkpoint: Checkpoint, network: nn.Module, example: Tensor) -> None:
    """Remove from a fresh network the channels that the checkpoint's network has lost.

    Raises `UserError` where the record of them does not fit the network.
    """
    if checkpoint.metadata.get(OPEN):
        open_shuffles(network)
    try:
        replay(network, example, checkpoint.metadata["cuts"])
    except (KeyError, IndexError, RuntimeError, AttributeError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(
            f"the checkpoint {checkpoint.path.name} removes channels that are not there: {reason}"
        ) from error


def restore_checkpoint(checkpoint: Checkpoint, network: nn.Module, hold: bool = True) -> Masks:
    """Load weights into a network of the same kind; returns its masks, which are to `hold` or not.

    Attention is opened, and norms of weights are folded, where they are in the checkpoint. Raises `UserError` where the
    file is damaged or belongs to another network, naming the first difference.
    """
    path = checkpoint.path
    tensors = read_tensors(path, checkpoint.metadata)
    state = {name: tensor for name, tensor in tensors.items() if not name.startswith(MASK_PREFIX)}
    if not state.keys() <= network.state_dict().keys():
        make_plain(network)
    own = network.state_dict()
    shared = own.keys() - _unshared(own).keys()
    missing, extra = own.keys() - state.keys() - shared, state.keys() - own.keys()
    misshaped = [name for name in state.keys() & own.keys() if not _fits(state[name], own[name])]
    if missing or extra or misshaped:
        first = sorted([*missing, *extra, *misshaped])[0]
        raise UserError(
            f"the checkpoint {path.name} is of another network: {len(missing)} tensors are missing, "
            f"{len(extra)} are unknown and {len(misshaped)} have another shape or type; the first is {first}"
        )
    load_own(network, state, strict=False)
    kept = {
        name.removeprefix(MASK_PREFIX): tensor.to(next(network.parameters()).device)
        for name, tensor in tensors.items()
        if name.startswith(MASK_PREFIX)
    }
    masks = Masks(network, hold)
    unknown = sorted(kept.keys() - masks.weights.keys())
    if unknown:
        raise UserError(f"the checkpoint {path.name} is of another network: it masks a layer {unknown[0]}")
    for name, mask in kept.items():
        if mask.shape != masks.weights[name].shape or mask.dtype != torch.bool:
            raise UserError(
                f"the checkpoint {path}.safetensors is damaged: its mask of {name} is {mask.dtype} "
                f"{tuple(mask.shape)}, not a boolean of the weight's shape {tuple(masks.weights[name].shape)}"
            )
    masks.set(kept)
    return masks


def _fits(tensor: Tensor, own: Tensor) -> bool:
    """Whether a tensor is of the shape of another, and its numbers of the same kind: whole, real or complex."""
    kinds = [(one.is_floating_point(), one.is_complex()) for one in (tensor, own)]
    return tensor.shape == own.shape and kinds[0] == kinds[1]


def save_checkpoint(path: Path, network: nn.Module, masks: Masks, facts: dict[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json, each whole or not at all.

    `facts` name the network so that it can be built again: model, input_shape, num_classes, options, data_set; and say
    how it came about: loss, seed, epoch, figures.
    """
    tensors = _unshared(network.state_dict())
    tensors.update({f"{MASK_PREFIX}{name}": mask for name, mask in masks.kept.items()})
    is_open = any(isinstance(module, OpenShuffle) for module in network.modules())
    write_tensors(path, tensors, facts | ({OPEN: True} if is_open else {}))


def write_tensors(
    path: Path, tensors: dict[str, Tensor], facts: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write `path`.safetensors, then `path`.json with the facts and the checksums of the first and of itself.

    `metadata` goes to the head of the tensors' file.
    """
    packed, head = pack(tensors)
    crc = write_tensor_file(beside(path, ".safetensors"), packed, {**(metadata or {}), **head} or None)
    write_checksummed(beside(path, ".json"), {"format": FORMAT, "crc32": crc, **facts})


def read_tensors(path: Path, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Read `path`.safetensors, on the CPU.

    Raises `UserError` where it is not what was written: torn, altered, or of a header that claims what is not there,
    which is found before memory is taken. Files of the first versions have no checksum in their `facts`.
    """
    file = beside(path, ".safetensors")
    try:
        if (size := file.stat().st_size) > (free := free_memory(torch.device("cpu"))):
            raise ValueError(f"it holds {size:,} bytes, and {free:,} bytes of memory are free")
        found = checksum_of(file)
        if facts.get("crc32", found) != found:
            raise UserError(
                f"the checkpoint {file} cannot be read: it is incomplete, or was altered (its checksum is {found}, not "
                f"{facts['crc32']})"
            )
        check_header(file)
        tensors = safetensors.torch.load_file(file)
        with safe_open(file, "pt") as opened:
            return unpack(tensors, opened.metadata())
    except UserError:
        raise
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"the checkpoint {file} cannot be read: {one_line(error)}") from error


def check_header(file: Path) -> None:
    """Raise `ValueError` where a safetensors file says a name twice: its reader would take the last.

    Whatever else is wrong with it the reader finds.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length <= file.stat().st_size:
            parse_json(opened.read(length).decode())


def _unshared(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is the same tensor under a second name, which safetensors does not store."""
    seen, kept = set(), {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or key not in seen:
            seen.add(key)
            kept[name] = tensor
    return kept


#: How many are kept.
KEPT = 2


def write_state(folder: Path, tree: dict[str, Any], **facts: object) -> None:
    """Write the next state into `folder`, with `facts` for people in its json, and remove all but the last two."""
    before = states_in(folder)
    path = folder / f"state_{number_of(before[-1]) + 1 if before else 1:06d}"
    tensors: dict[str, Tensor] = {}
    plain = json.dumps(_encoded(tree, tensors))
    write_tensors(path, tensors, {"format": STATE_FORMAT, **facts}, {"tree": plain})
    kept = {path.stem for path in [*before, path][-KEPT:]}
    for old in folder.glob("*"):
        if old.stem not in kept:
            old.unlink(missing_ok=True)


def read_last_state(folder: Path, device: torch.device) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the last state that is whole, None where none was written, and a line for each later one that is not.

    Tensors go to `device`. Raises `UserError` where states were written and none is whole.
    """
    problems = []
    for path in reversed(states_in(folder)):
        try:
            return _read(path, device), problems
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(f"no saved state is intact: {problems[0]}")
    return None, problems


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        facts = read_checksummed(beside(path, ".json"))
        if facts["format"] != STATE_FORMAT:
            raise ValueError(f"its format is {facts['format']!r}, and this version reads {STATE_FORMAT}")
        tensors = read_tensors(path, {"crc32": facts["crc32"]})
        with safe_open(beside(path, ".safetensors"), "pt") as file:
            tree = _decoded(parse_json(file.metadata()["tree"]), tensors, device)
        if not isinstance(tree, dict):
            raise ValueError(f"it holds no dictionary but {type(tree).__name__}")
        return tree
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"the state {path}.json cannot be read: {reason}") from error


def _encoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Turn a tree into what JSON holds, its tensors moved to `tensors`; dictionaries keep their order and their keys.

    Raises `TypeError` for what is none of these.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
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
        tensor = tensors[value["tensor"]]
        last = value["channels_last"] and tensor.dim() == 4  # an altered state may say so of any
        form = torch.channels_last if last else torch.contiguous_format
        # A single number on the CPU is the count of an optimizer, which would wait for the device at each step.
        place = "cpu" if value["on_cpu"] and not tensor.dim() else device
        return tensor.to(place, copy=True, memory_format=form)
    if "tuple" in value:
        return tuple(_decoded(item, tensors, device) for item in value["tuple"])
    return {_decoded(key, tensors, device): _decoded(item, tensors, device) for key, item in value["dict"]}
