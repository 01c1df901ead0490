"""Whether a state, read from a file that may say anything, is one that a run could have written."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from secateur.config.option import LARGEST
from secateur.utils.errors import UserError


def check_progress(state: dict[str, Any], epochs: int) -> None:
    """Refuse a state that does not say how far a run of so many epochs has come. Raises `UserError`."""
    epoch, seconds, notices = (state.get(name) for name in ("epoch", "seconds", "notices"))
    right = {
        "epoch": type(epoch) is int and 0 <= epoch <= epochs,
        "seconds": type(seconds) in (int, float) and 0 <= seconds < LARGEST,
        "notices": isinstance(notices, list) and all(isinstance(notice, str) for notice in notices),
        "observers": isinstance(state.get("observers"), dict),
    }
    for name, is_right in right.items():
        if not is_right:
            raise UserError(f"no saved state is intact: its {name} is {_shown(state.get(name))}")


def check_like(found: Any, fresh: Any, place: str) -> None:
    """Refuse what is of another kind than the same thing of a run that has just begun. Raises `ValueError`.

    What that has none of yet, as the moments of an optimizer, may be anything.
    """
    if fresh is None:
        return
    if isinstance(fresh, Tensor):
        is_right = isinstance(found, Tensor) and found.dtype == fresh.dtype
    elif isinstance(fresh, float):
        is_right = type(found) in (int, float) and math.isfinite(found)
    elif type(fresh) is int:
        is_right = type(found) is int and abs(found) < LARGEST
    elif isinstance(fresh, dict):
        is_right = isinstance(found, dict)  # of which there are several kinds
    else:
        is_right = type(found) is type(fresh)
    if not is_right:
        raise ValueError(f"{place} is {_shown(found)}")
    if isinstance(fresh, dict):
        for name in fresh.keys() & found.keys():
            check_like(found[name], fresh[name], f"{place}.{name}")
    elif isinstance(fresh, list | tuple) and fresh:
        for number, item in enumerate(found):
            check_like(item, fresh[min(number, len(fresh) - 1)], f"{place}[{number}]")


def check_names(found: dict[Any, Any], fresh: dict[Any, Any], place: str) -> None:
    """Refuse a dictionary with other names than `fresh` has. Raises `ValueError`."""
    if wrong := [name for name in [*found, *fresh] if (name in found) != (name in fresh)]:
        raise ValueError(f"{place} {'has' if wrong[0] in found else 'lacks'} {_shown(wrong[0])}")


def check_shapes(found: dict[Any, Any], fresh: dict[Any, Any], place: str) -> None:
    """Refuse tensors of another type or shape than those of the same name in `fresh`. Raises `ValueError`."""
    for name in found.keys() & fresh.keys():
        old, new = ((one.shape, one.dtype) if isinstance(one, Tensor) else None for one in (found[name], fresh[name]))
        if old != new and found[name] is not None and fresh[name] is not None:
            raise ValueError(f"{place}.{name} is {_shown(found[name])}")


def _shown(value: Any) -> str:
    text = f"a tensor {tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
