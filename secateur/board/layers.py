"""Which weights a checkpoint has kept: of each layer how many, and a small map of where."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from secateur.utils.errors import one_line
from secateur.utils.text import printable

#: A map has at most so many rows and columns; a layer of more weights has none, and neither have further layers.
MAP, MOST_WEIGHTS, MOST_LAYERS = 96, 2**26, 300


def layers_of(folder: Path) -> dict[str, Any]:
    """The layers of the finished network of a run folder, else of its newest checkpoint; read without torch.

    A layer's map has its outputs down and its inputs, with their kernel, across: the share of weights of each cell that
    is not zero, a byte each, in base64. What cannot be read is a `problem`.
    """
    try:
        files = sorted(folder.glob("models/*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
        files = [path for path in files if path.is_file()]  # a pipe would never come to its end
        if not files:
            return {"checkpoint": "", "layers": [], "problem": "there is no checkpoint yet"}
        path = next((path for path in files if path.stem.endswith("_finished")), files[-1])
        with safe_open(path, "np") as file:
            return {"checkpoint": printable(path.stem), "layers": list(islice(_layers(file), MOST_LAYERS))}
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        return {"checkpoint": "", "layers": [], "problem": printable(one_line(error, 300))}


def _layers(file: Any) -> Iterator[dict[str, Any]]:
    names = list(file.keys())
    there, packed = set(names), json.loads((file.metadata() or {}).get("packed", "{}"))
    if not isinstance(packed, dict):
        raise ValueError("its record of packed tensors is none")
    plain = [name.removesuffix("/values").removesuffix("/bits") for name in names]
    for name in dict.fromkeys(plain):
        if not name.endswith("weight"):
            continue
        entry = packed.get(name)
        shape = entry["shape"] if isinstance(entry, Mapping) else file.get_slice(name).get_shape()
        if len(shape) < 2 or not all(type(size) is int and size > 0 for size in shape):
            continue
        layer = {"name": printable(name.rpartition(".")[0] or name), "shape": shape, "weights": math.prod(shape)}
        if layer["weights"] <= MOST_WEIGHTS:
            kept = _packed(file, entry, layer["weights"]) if name not in there else file.get_tensor(name) != 0
            layer["kept"] = int(np.count_nonzero(kept))
            layer |= _map(kept.reshape(shape[0], -1))
        yield layer


def _packed(file: Any, entry: Mapping[str, Any], number: int) -> np.ndarray:
    """Where the weights are that are not zero, of a tensor that was packed by runs/tensor_file.py."""
    bits, values = file.get_tensor(entry["bits"]), file.get_tensor(entry["values"])
    if bits.dtype != np.uint8 or bits.ndim != 1 or len(bits) != -(-number // 8):
        raise ValueError(f"{bits.size} bytes of bits are not those of {number} weights")
    kept = np.unpackbits(bits, count=number).astype(bool)
    if values.shape != (np.count_nonzero(kept),):
        raise ValueError(f"{values.size} values are not those of the mask")
    kept[kept] = values != 0
    return kept


def _map(kept: np.ndarray) -> dict[str, Any]:
    """The share that is kept in each cell of a matrix (outputs, inputs), as bytes."""
    sums, sizes = kept, []
    for axis, size in enumerate(kept.shape):
        edges = np.linspace(0, size, min(size, MAP), endpoint=False).astype(int)
        sums = np.add.reduceat(sums, edges, axis=axis, dtype=np.int32)
        sizes.append(np.diff(np.append(edges, size)))
    share = np.ceil(255 * sums / np.outer(*sizes)).astype(np.uint8)  # what is kept at all is seen
    return {"rows": share.shape[0], "columns": share.shape[1], "map": base64.b64encode(share.tobytes()).decode()}
