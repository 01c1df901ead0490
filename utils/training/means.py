"""Means over the batches of an epoch, kept on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class RunningMeans:
    """Loss and accuracy over all samples seen since `reset`. Adding never waits for the device; reading does."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.samples = 0
        self._sizes: list[int] = []
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Take in one batch: its mean loss (), logits (B, K) and classes (B,)."""
        self._losses.append(loss.detach())
        self._correct.append(logits.detach().argmax(1) == targets)
        self._sizes.append(len(targets))
        self.samples += len(targets)

    @property
    def batches(self) -> int:
        """How many batches were taken in."""
        return len(self._losses)

    def read(self) -> dict[str, float]:
        """Return `loss` and `accuracy` in [0, 1]; of nothing, zeros."""
        if not self._losses:
            return {"loss": 0.0, "accuracy": 0.0}
        losses = torch.stack(self._losses).tolist()
        total = sum(loss * size for loss, size in zip(losses, self._sizes, strict=True))
        return {"loss": total / self.samples, "accuracy": int(torch.cat(self._correct).sum()) / self.samples}

    def first_bad_batch(self) -> int | None:
        """Return the number of the first batch whose loss was NaN or infinite, if there was one."""
        if not self._losses:
            return None
        bad = (~torch.stack(self._losses).isfinite()).nonzero().flatten()
        return int(bad[0]) if len(bad) else None
