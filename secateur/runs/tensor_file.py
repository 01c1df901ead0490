"""Files of tensors in the format safetensors, written without copies, and with few bytes where there are many zeros.

A mask is one bit a weight. A tensor of numbers of which many are zero is a mask, shared with other tensors where it
fits, and its values in order. What is read again is equal to what was written; a zero may have lost its sign.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.runs.files import write_atomically

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


#: How the format calls its types, in the order in which their tensors come, which aligns each to its own size.
TYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensor_file(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write tensors of any device and layout to a safetensors file, whole or not at all; returns its CRC-32.

    No more than one of them at a time is copied, and of those that are contiguous and on the CPU none: the library's
    own writer wants all on the CPU at once. `metadata` goes to the head of the file. Raises `TypeError` for a type that
    the format does not have.
    """
    names = sorted(tensors, key=lambda name: (_rank(name, tensors[name]), name))
    ends = list(itertools.accumulate((tensors[name].nbytes for name in names), initial=0))
    header = {"__metadata__": metadata} if metadata else {}
    header |= {
        name: {"dtype": TYPES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [start, end]}
        for name, (start, end) in zip(names, itertools.pairwise(ends), strict=True)
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)

    def pieces() -> Iterator[bytes | memoryview]:
        yield len(head).to_bytes(8, "little") + head
        for name in names:
            yield _bytes(tensors[name])

    return write_atomically(path, pieces())


def _rank(name: str, tensor: Tensor) -> int:
    if tensor.dtype not in TYPES or tensor.layout != torch.strided:
        raise TypeError(f"{name} is a tensor of {tensor.dtype}, {tensor.layout}, which safetensors files do not hold")
    return list(TYPES).index(tensor.dtype)


def _bytes(tensor: Tensor) -> memoryview:
    """What is in a tensor, in the order of its elements; a copy only where it is not that already."""
    plain = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg()
    return memoryview(plain.reshape(-1).view(torch.uint8).numpy())
