"""What `--target` can ask for, as it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from secateur.utils.errors import UserError, nearest

#: Units of amounts, in seconds, in bytes, and of other numbers.
UNITS = {
    "latency": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6},
    "bytes": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "flops": {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12},
    "params": {"k": 1e3, "M": 1e6, "G": 1e9},
}


@dataclass(frozen=True)
class Target:
    """One thing that is asked for."""

    text: str
    #: latency, flops, params or bytes.
    what: str
    #: Seconds, or numbers; a fraction of what it was before where `relative`.
    amount: float
    relative: bool
    #: Images at a time, of latency.
    images: int = 1

    @property
    def name(self) -> str:
        """What is measured."""
        return f"latency@{self.images}" if self.what == "latency" else self.what


def read_target(text: str) -> Target:
    """Read `latency=0.33`, `latency=3ms@64`, `flops=30M`, `params=1M` or `bytes=2MB`.

    A number without a unit is a fraction where it is at most 1, else a count. Raises `UserError` for others.
    """
    what, _, said = text.partition("=")
    number, unit, images = re.fullmatch(r"([\d.]+)([a-zA-Zµ]*)(?:@(\d+))?", said).groups()
    units = UNITS[what]
    if unit and unit not in units:
        raise UserError(f"--target {text}: {what} has no unit '{unit}'{nearest(unit, units)}")
    relative = not unit and float(number) <= 1
    if what == "latency" and not (unit or relative):
        raise UserError(f"--target {text}: give a fraction of the latency, or a time, as 3ms")
    if images and what != "latency":
        raise UserError(f"--target {text}: @{images} is for latency, of a batch of {images}")
    amount = float(number) * (units[unit] if unit else 1)
    if amount <= 0 or images == "0":
        raise UserError(f"--target {text}: nothing takes so little")
    return Target(text, what, amount, relative, int(images or 1))
