"""Makes torch faster on CPUs without changing what it computes."""

from __future__ import annotations

import ctypes
import sys

import torch

#: glibc's names for its settings, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: How far float32 products may be from exact ones, relative to the largest; bfloat16 is off by a thousand times more.
TOLERANCE = 1e-5


def tune_cpu() -> None:
    """Keep freed memory for the next step, and let oneDNN multiply matrices where it does so in full precision."""
    if sys.platform == "linux":
        # glibc hands large blocks back to the system and gets them again, page by page, at every step: of small
        # convolutional networks that took half the time.
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 2**31 - 1)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    use_onednn_products(True)


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
