"""Means over the batches of an epoch, kept on the device, and the check that they are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from secateur.parallel.collectives import gathered, size
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.trainers.DefaultTrainer import DefaultTrainer


class RunningMeans:
    """Loss and accuracy over all samples seen since `reset`. Adding never waits for the device; reading does.

    Of several processes each adds its part of a batch, with the loss of the whole; `join` puts the parts together.
    """

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

    def join(self) -> None:
        """Take in what the other processes have seen of the same batches, in the order of their ranks."""
        if size() == 1 or not self._losses:
            return
        found = gathered((self._sizes, [correct.cpu() for correct in self._correct]))
        self._sizes = [sum(sizes) for sizes in zip(*(sizes for sizes, _ in found), strict=True)]
        self._correct = [torch.cat(parts) for parts in zip(*(correct for _, correct in found), strict=True)]
        self.samples = sum(self._sizes)

    @property
    def batches(self) -> int:
        """How many batches were taken in."""
        return len(self._losses)

    def state_dict(self) -> dict[str, Any]:
        """Return what was taken in."""
        losses = torch.stack(self._losses) if self._losses else None
        correct = torch.cat(self._correct) if self._correct else None
        return {"sizes": self._sizes, "losses": losses, "correct": correct}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be as if that had been taken in."""
        self.reset()
        if state["sizes"]:
            if not len(state["sizes"]) == len(state["losses"]) or sum(state["sizes"]) != len(state["correct"]):
                raise ValueError("the losses, sizes and answers of the batches are not as many")
            self._sizes, self.samples = list(state["sizes"]), sum(state["sizes"])
            self._losses = list(state["losses"].unbind())
            self._correct = list(state["correct"].split(self._sizes))

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


def check_numbers(trainer: DefaultTrainer) -> None:
    """Raise `UserError` where a loss of this epoch, or a parameter by now, is NaN or infinite; waits for the device."""
    batch, epoch = trainer.means.first_bad_batch(), trainer.epoch + 1
    what = f"the loss became NaN or infinite in epoch {epoch}, batch {(batch or 0) + 1}"
    if batch is None:
        parameters = [parameter.detach() for parameter in trainer.network.parameters()]
        if torch.stack(torch._foreach_norm(parameters)).isfinite().all():
            return
        what = f"weights became NaN or infinite in epoch {epoch}, by batch {trainer.means.batches}"
    saved = sorted(trainer.run.folder.models.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    good = f"the last good checkpoint is {saved[-1].with_suffix('')}" if saved else "no epoch was finished before"
    raise UserError(
        f"{what}: try a smaller --learning_rate (it is {trainer.learning_rate:g}) or --grad_clip, or --precision "
        f"float32; {good}"
    )
