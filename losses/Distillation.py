"""A trained network teaches the one that is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.api.checkpoints import load
from secateur.config.option import option
from secateur.losses.CrossEntropy import CrossEntropy
from secateur.utils.errors import UserError


class Distillation(CrossEntropy):
    """Cross-entropy and what a teacher thinks (Hinton et al., 2015, "Distilling the Knowledge", section 2).

    (1 - a) * cross-entropy + a * T^2 * KL(softmax(teacher / T) || softmax(student / T)), a = `--distillation_weight`
    and T = `--distillation_temperature`; T^2 lets both gradients stay of a size. The teacher is the finished network of
    the run that `--teacher` names, in evaluation mode. Criteria and tests look at the cross-entropy alone.
    """

    teacher: str | None = option(
        None,
        "run whose finished network is the teacher: a folder's name, a path or latest",
        metavar="RUN",
        is_path=True,
        is_run=True,
        only_training=True,
    )
    distillation_temperature: float = option(
        4.0, "temperature by which logits are divided", low=0, above=True, metavar="T", only_training=True
    )
    distillation_weight: float = option(
        0.9, "weight of the teacher in the loss", low=0, high=1, metavar="A", only_training=True
    )

    #: The teacher's network, once it was needed.
    _teaches: nn.Module | None = None

    def in_training(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits (N, K) of inputs (N, C, H, W), by what the teacher gives for them."""
        if self._teaches is None:
            if self.teacher is None:
                raise UserError("--loss Distillation needs a teacher: --teacher RUN")
            self._teaches = _teacher(self.teacher, inputs[:1], logits[:1])
        with torch.no_grad():
            taught = self._teaches(inputs)
        temperature, weight = self.distillation_temperature, self.distillation_weight
        divergence = functional.kl_div(
            functional.log_softmax(logits / temperature, 1),
            functional.log_softmax(taught / temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - weight) * super().in_training(inputs, logits, targets) + weight * temperature**2 * divergence


def _teacher(run: str, image: Tensor, logits: Tensor) -> nn.Module:
    """Load the network of a run, which is to give such `logits` (1, K) for an image (1, C, H, W)."""
    network = load(Path(run), hold=False).requires_grad_(False).to(image.device).eval()
    try:
        with torch.no_grad():
            found = network(image)
    except RuntimeError as error:
        shape = "x".join(map(str, image.shape[1:]))
        raise UserError(f"--teacher {run}: its network does not take images of {shape}") from error
    if found.shape != logits.shape:
        raise UserError(f"--teacher {run}: its network has {found.shape[1]} classes, not {logits.shape[1]}")
    return network
