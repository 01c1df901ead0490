"""Devices, number formats, and how CPUs multiply."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from secateur.parallel.launch import local_number, one_of_several
from secateur.utils.errors import UserError, nearest

if TYPE_CHECKING:
    from secateur.runs.options import MachineOptions

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
#: bf16 is chosen where a trial is faster by this factor, more than what measurements scatter.
GAIN = 1.15
#: The trial: a 3x3 convolution of so many images (N, C, H, W), and as many channels out.
TRIAL = (16, 64, 16, 16)


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


def prepare_torch(seed: int, machine: MachineOptions) -> torch.device:
    """Seed everything that is random, set torch up as the options of the machine say, and return the device."""
    if machine.deterministic:
        # cuBLAS reads this when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for libraries that use the global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = not (machine.disable_cuda_benchmark or machine.deterministic)
    device = choose_device(machine.device)
    if device.type == "cpu":
        tune_cpu()
    return device


def choose_precision(device: torch.device, execution: str) -> tuple[str, str]:
    """Return what `--precision auto` comes to, float32 or bf16, and why.

    On a CPU a convolution is tried forward and backward in both, as bf16 takes half the time of float32 where there are
    instructions for it and 30 times as long where there are none. float16 is never chosen: it may overflow.
    """
    if execution != "dense":
        return "float32", f"--execution {execution} skips zeros in float32"
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", f"{device} computes in it") if has else ("float32", f"{device} has no instructions for bf16")
    if device.type != "cpu":
        return "float32", f"bf16 is not tried on {device.type}"
    if not _has_bf16():
        return "float32", "this CPU has no instructions for bf16"
    times = _trial_times()
    gain = times["float32"] / times["bf16"]
    return "bf16" if gain >= GAIN else "float32", f"a trial convolution takes bf16 1/{gain:.1f} of float32's time"


def _has_bf16() -> bool:
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)()


def _trial_times() -> dict[str, float]:
    """Median seconds of forward and backward passes of the trial, by precision; they take turns, seven each."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.Conv2d(TRIAL[1], TRIAL[1], 3, padding=1)
        images = torch.randn(TRIAL)
    times: dict[str, list[float]] = {"float32": [], "bf16": []}
    for _ in range(8):
        for name, taken in times.items():
            before = time.perf_counter()
            with Precision(name, images.device).autocast():
                layer(images).sum().backward()
            taken.append(time.perf_counter() - before)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first prepares the kernels


class Precision:
    """Automatic mixed precision: `with precision.autocast():` around forward passes of training and testing.

    Parameters: `name`, one of float32, bf16, fp16; the `device`. Raises `UserError` for another name.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name not in (known := ("float32", *TYPES)):
            raise UserError(f"precision '{name}' is not one of {', '.join(known)}{nearest(name, known)}")
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
        if self.type is torch.bfloat16 and self.device.type == "cpu" and not _has_bf16():
            return "bf16: this CPU has no instructions for it and will be many times slower than with float32"
        if self.type is torch.float16 and self.device.type == "cpu":
            return "fp16: CPUs compute in it slowly; it is meant for GPUs"
        return None


#: glibc's names for its settings, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: In bytes: weights that are large, and blocks of memory that are.
LARGE_NETWORK, LARGE_BLOCK = 200_000_000, 2**23
#: How far float32 products may be from exact ones, relative to the largest; bfloat16 is off by a thousand times more.
TOLERANCE = 1e-5


def tune_cpu() -> None:
    """Keep freed memory for the next step, and let oneDNN multiply matrices where it does so in full precision."""
    if sys.platform == "linux":
        # glibc hands large blocks back to the system and gets them again, page by page, at every step: of small
        # convolutional networks that took half the time.
        _mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
        _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    use_onednn_products(True)


def spare_memory(network: nn.Module) -> None:
    """Hand large blocks back to the system after all, at once, where the network's weights are large.

    Blocks that are aligned, as all of torch's, do not fit into holes of their own size before glibc 2.38: with those
    of large weights, what is kept for the next step comes to more than the weights themselves.
    """
    if sys.platform == "linux" and sum(weight.nbytes for weight in network.parameters()) > LARGE_NETWORK:
        _mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def _mallopt(name: int, value: int) -> None:
    """Set one of glibc's settings of memory; other libraries have none."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(name, value)


def use_onednn_products(wanted: bool) -> bool:
    """Let oneDNN multiply float32 matrices instead of MKL, which is slow on CPUs that are not Intel's.

    torch only does so where reduced precision is allowed, though most CPUs have none to use; so a product is tried, and
    where it is not exact to float32 the setting is taken back. Returns whether oneDNN is used.
    """
    settings = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)  # torch 2.9 and newer
    if settings is None or not hasattr(settings, "fp32_precision"):
        return False
    settings.fp32_precision = "bf16" if wanted else "none"
    if wanted and not products_are_exact():
        settings.fp32_precision = "none"
        return False
    return wanted


def products_are_exact() -> bool:
    """Whether a float32 product of a usual size is right to about the last bits of float32."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(512, 512, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).abs().max() / exact.abs().max()) < TOLERANCE
