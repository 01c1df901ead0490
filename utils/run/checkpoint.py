"""Checkpoints: `<name>.safetensors` with the tensors, and `<name>.json` with all else. No pickle: loading runs no code.

The tensors of the network have their names in its `state_dict`, so that the file loads into a plain network as it is;
the masks stand beside them as `masks/<layer>`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from utils.errors import UserError, one_line
from utils.pruning.masks import Masks
from utils.pruning.surgery import replay
from utils.run.checkpoint_facts import FORMAT, Checkpoint, beside
from utils.run.files import checksum, checksum_of, write_atomically, write_sealed

MASK_PREFIX = "masks/"


def replay_cuts(checkpoint: Checkpoint, network: nn.Module, example: Tensor) -> None:
    """Remove from a fresh network the channels that the checkpoint's network has lost.

    Raises `UserError` where the record of them does not fit the network.
    """
    try:
        replay(network, example, checkpoint.facts["cuts"])
    except (KeyError, IndexError, RuntimeError, AttributeError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(
            f"the checkpoint {checkpoint.path.name} removes channels that are not there: {reason}"
        ) from error


def restore_checkpoint(checkpoint: Checkpoint, network: nn.Module, masks: Masks) -> None:
    """Load weights and masks into a network of the same kind.

    Raises `UserError` where the file is damaged or belongs to another network, naming the first difference.
    """
    path = checkpoint.path
    tensors = read_tensors(path, checkpoint.facts)
    state = {name: tensor for name, tensor in tensors.items() if not name.startswith(MASK_PREFIX)}
    own = network.state_dict()
    shared = own.keys() - _unshared(own).keys()
    missing, extra = own.keys() - state.keys() - shared, state.keys() - own.keys()
    misshaped = [name for name in state.keys() & own.keys() if state[name].shape != own[name].shape]
    if missing or extra or misshaped:
        first = sorted([*missing, *extra, *misshaped])[0]
        raise UserError(
            f"the checkpoint {path.name} is of another network: {len(missing)} tensors are missing, "
            f"{len(extra)} are unknown and {len(misshaped)} have another shape; the first is {first}"
        )
    network.load_state_dict(state, strict=False)
    kept = {
        name.removeprefix(MASK_PREFIX): tensor.to(next(network.parameters()).device)
        for name, tensor in tensors.items()
        if name.startswith(MASK_PREFIX)
    }
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


def save_checkpoint(path: Path, network: nn.Module, masks: Masks, facts: dict[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json, each whole or not at all.

    `facts` name the network so that it can be built again: model, input_shape, num_classes, options, data_set; and say
    how it came about: loss, seed, epoch, figures.
    """
    tensors = _unshared(network.state_dict())
    tensors.update({f"{MASK_PREFIX}{name}": mask for name, mask in masks.kept.items()})
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_tensors(path, plain, facts)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], facts: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write `path`.safetensors, then `path`.json with the facts and the checksums of the first and of itself.

    The tensors are contiguous, on the CPU, and share no memory; `metadata` goes to the head of their file.
    """
    content = safetensors.torch.save(tensors, metadata)
    write_atomically(beside(path, ".safetensors"), content)
    write_sealed(beside(path, ".json"), {"format": FORMAT, "crc32": checksum(content), **facts})


def read_tensors(path: Path, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Read `path`.safetensors, on the CPU.

    Raises `UserError` where it is not what was written: torn, altered, or of a header that claims what is not there,
    which is found before memory is taken. Files of the first versions have no checksum in their `facts`.
    """
    file = beside(path, ".safetensors")
    try:
        found = checksum_of(file)
        if facts.get("crc32", found) != found:
            raise UserError(
                f"the checkpoint {file} cannot be read: it is not whole, or was altered (its checksum is {found}, not "
                f"{facts['crc32']})"
            )
        return safetensors.torch.load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"the checkpoint {file} cannot be read: {one_line(error)}") from error


def _unshared(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is the same tensor under a second name, which safetensors does not store."""
    seen, kept = set(), {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or key not in seen:
            seen.add(key)
            kept[name] = tensor
    return kept
