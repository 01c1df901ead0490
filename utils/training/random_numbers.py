"""The generators of random numbers that everything draws from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """Return where the generators of Python, numpy and torch are, and that of `device`."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - for libraries that use the global generator
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
        device.type: _of_device(device),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators back; that of a device of another kind starts from its seed."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if (own := state.get(device.type)) is not None and device.type == "cuda":
        torch.cuda.set_rng_state(own.cpu(), device)
    elif own is not None and device.type == "mps":
        torch.mps.set_rng_state(own.cpu())


def _of_device(device: torch.device) -> torch.Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None
