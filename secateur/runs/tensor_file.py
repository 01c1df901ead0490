"""Files of tensors in the format safetensors, written without copies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from secateur.runs.files import write_atomically

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
