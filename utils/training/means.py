"""Means over the batches of an epoch, kept on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class RunningMeans:
    """Loss and accuracy over all samples seen since `reset`. Adding never waits for the device; reading does."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.samples = 0
        self._sums = torch.zeros(2, device=self.device)
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Take in one batch: its mean loss (), logits (B, K) and classes (B,)."""
        loss = loss.detach()
        correct = (logits.detach().argmax(1) == targets).sum()
        self._sums += torch.stack([loss.float() * len(targets), correct.float()])
        self._losses.append(loss)
        self.samples += len(targets)

    @property
    def batches(self) -> int:
        """How many batches were taken in."""
        return len(self._losses)

    def read(self) -> dict[str, float]:
        """Return `loss` and `accuracy` in [0, 1]."""
        loss, correct = (self._sums / max(self.samples, 1)).tolist()
        return {"loss": loss, "accuracy": correct}

    def first_bad_batch(self) -> int | None:
        """Return the number of the first batch whose loss was NaN or infinite, if there was one."""
        if not self._losses:
            return None
        bad = (~torch.stack(self._losses).isfinite()).nonzero().flatten()
        return int(bad[0]) if len(bad) else None
