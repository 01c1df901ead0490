"""Tensors that are mostly zeros, and masks, in as few bytes as they need: bits, and the values where the bits are set.

A mask is one bit a weight. A tensor of numbers of which many are zero is a mask, shared with other tensors where it
fits, and its values in order. What is read again is equal to what was written; a zero may have lost its sign.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: A tensor is packed where that saves so many bytes at least.
WORTHWHILE = 4096
#: Under which name the record stands in the head of a file.
RECORD = "packed"


def pack(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors to write instead, and what goes to the head of their file; nothing where none is packed."""
    written: dict[str, Tensor] = {}
    record: dict[str, dict[str, Any]] = {}
    patterns: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
    masks = {name: tensor for name, tensor in tensors.items() if tensor.dtype == torch.bool}
    for name, tensor in [*masks.items(), *((name, tensor) for name, tensor in tensors.items() if name not in masks)]:
        if tensor.numel() * tensor.element_size() < WORTHWHILE:
            written[name] = tensor
        elif name in masks:
            bits = _add_bits(name, tensor, written, patterns)
            record[name] = {"shape": list(tensor.shape), "bits": bits}
        elif not (tensor.is_floating_point() and _pack_numbers(name, tensor, written, record, patterns)):
            written[name] = tensor
    return written, {RECORD: json.dumps(record)} if record else {}


def _add_bits(name: str, mask: Tensor, written: dict[str, Tensor], patterns: dict[Any, Any]) -> str:
    key = f"{name}/bits"
    written[key] = torch.from_numpy(np.packbits(mask.numpy()))
    patterns.setdefault(tuple(mask.shape), []).append((key, mask))
    return key


def _pack_numbers(
    name: str, tensor: Tensor, written: dict[str, Tensor], record: dict[str, Any], patterns: dict[Any, Any]
) -> bool:
    """Pack a tensor if that makes it smaller by enough."""
    there, shape = tensor != 0, tuple(tensor.shape)
    number = int(there.count_nonzero())
    size = tensor.element_size()
    fitting = [(key, mask) for key, mask in patterns.get(shape, ()) if not (there & ~mask).any()]
    key, mask = min(fitting, key=lambda one: int(one[1].count_nonzero()), default=("", there))
    shared = bool(fitting)
    cost = int(mask.count_nonzero()) * size if shared else number * size + tensor.numel() // 8
    if tensor.numel() * size - cost < WORTHWHILE:
        return False
    if not shared:
        key = _add_bits(name, there, written, patterns)
    written[f"{name}/values"] = tensor.flatten()[mask.flatten()]
    record[name] = {"shape": list(shape), "bits": key, "values": f"{name}/values"}
    return True


def unpack(tensors: dict[str, Tensor], head: dict[str, str] | None) -> dict[str, Tensor]:
    """Return the tensors that were given to `pack`, from what was written and the head of its file.

    Raises `ValueError` where the two do not fit together.
    """
    record = json.loads((head or {}).get(RECORD, "{}"))
    if not record:
        return tensors
    found, taken = dict(tensors), set()
    masks: dict[Any, Tensor] = {}
    try:
        for name, entry in record.items():
            shape, key = tuple(entry["shape"]), entry["bits"]
            if (key, shape) not in masks:
                masks[key, shape] = _mask_of(tensors[key], shape)
            mask = masks[key, shape]
            taken |= {key, entry.get("values", key)}
            if "values" in entry:
                values = tensors[entry["values"]]
                if values.dim() != 1 or len(values) != int(mask.count_nonzero()):
                    raise ValueError(f"{name} has {values.numel()} values for {int(mask.count_nonzero())} places")
                found[name] = torch.zeros(shape, dtype=values.dtype)
                found[name][mask] = values
            else:
                found[name] = mask.clone()
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its record of packed tensors does not fit: {error}") from error
    return {name: tensor for name, tensor in found.items() if name not in taken or name in record}


def _mask_of(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    number = math.prod(shape)
    if bits.dtype != torch.uint8 or bits.dim() != 1 or len(bits) != -(-number // 8) or min(shape, default=1) < 0:
        raise ValueError(f"{bits.numel()} bytes of bits are not those of a mask of shape {shape}")
    return torch.from_numpy(np.unpackbits(bits.numpy(), count=number).astype(bool)).view(shape)
