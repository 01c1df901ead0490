"""Devices and number formats."""

from __future__ import annotations

import contextlib

import torch

from utils.errors import UserError
from utils.parallel.launch import local_number, one_of_several

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device that `--device` names; `auto` takes an accelerator where there is one.

    Of several processes each has a CUDA device of its own. Raises `UserError` for a device that this machine or this
    build of torch does not have, or that several processes cannot share.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if one_of_several():
        if name not in ("auto", "cuda", "cpu"):
            raise UserError(f"--device {name}: torchrun gives each process its device; --device auto, cuda or cpu")
        mps = False
        if name != "cpu" and (cuda or name == "cuda"):
            name = f"cuda:{local_number()}"
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if cuda else 0
        if (device.index or 0) >= count:
            raise UserError(
                f"--device {name}: torch {torch.__version__} sees {count} CUDA devices here; use --device auto"
            )
    if device.type == "mps" and not mps:
        raise UserError("--device mps: torch sees no Apple GPU here; use --device auto")
    return device


class Precision:
    """Automatic mixed precision: `with precision.autocast():` around forward passes of training and testing.

    Parameters: `name`, one of float32, bf16, fp16; the `device`.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.type = TYPES.get(name)
        self.device = device
        #: Scales the loss so that float16 gradients do not vanish; does nothing for the other formats.
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> contextlib.AbstractContextManager:
        """Return the context in which operations choose their type."""
        if self.type is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.type)

    def warning(self) -> str | None:
        """Return a line for the user where this format is slow on this device."""
        has_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        if self.type is torch.bfloat16 and self.device.type == "cpu" and not has_bf16():
            return "bf16: this CPU has no instructions for it and will be many times slower than with float32"
        if self.type is torch.float16 and self.device.type == "cpu":
            return "fp16: CPUs compute in it slowly; it is meant for GPUs"
        return None
