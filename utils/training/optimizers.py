"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from utils.errors import UserError, nearest

#: SGD in the papers of the field means SGD with this momentum.
MOMENTUM = 0.9
#: These make their step as one operation over all weights, on CPUs as well.
FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build ADAM, SGD (momentum 0.9), RMSPROP, or any class of torch.optim; case does not matter.

    Raises `UserError` for a name that is none, and for an optimizer that cannot train this kind of network.
    """
    known = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    kind = known.get(name.lower())
    if kind is None:
        names = [value.__name__ for value in known.values()]
        raise UserError(f"--optimizer: torch.optim has no '{name}'{nearest(name, names)}")
    accepted = inspect.signature(kind).parameters
    options: dict[str, Any] = {"lr": learning_rate}
    if "weight_decay" in accepted:
        options["weight_decay"] = weight_decay
    if kind is torch.optim.SGD:
        options["momentum"] = MOMENTUM
    parameters = list(parameters)
    if kind in FUSED and all(parameter.device.type in ("cpu", "cuda") for parameter in parameters):
        options["fused"] = True
    _try_out(kind, options)
    try:
        return kind(parameters, **options)
    except (ValueError, TypeError) as error:
        raise UserError(f"--optimizer {name} cannot train this network: {error}") from error


def _try_out(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    """Make one step with a throw-away weight, to meet now what an optimizer asks of its gradients."""
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    try:
        kind([weight], **options).step(lambda: weight.sum())
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"--optimizer {kind.__name__} cannot train this network: {error}") from error


def decays_weights(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer applies `--l2_reg` itself; for the others the trainer adds it to the gradient."""
    return "weight_decay" in optimizer.defaults


@torch.no_grad()
def clip_norm(gradients: list[Tensor], largest: float) -> None:
    """Scale `gradients` in place so that all of them together have a norm of at most `largest`.

    What torch.nn.utils.clip_grad_norm_ does, in half the time for small networks: they are on one device.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))


def build_schedule(text: str, optimizer: torch.optim.Optimizer, epochs: int, batches: int) -> LRScheduler:
    """Build the schedule that `--lr_schedule` names; it makes a step after every batch.

    `epochs` is the length of training, `batches` that of an epoch.
    """
    total = max(epochs * batches, 1)
    if text == "cosine":
        return CosineAnnealingLR(optimizer, T_max=total)
    if text == "onecycle":
        rate = optimizer.defaults["lr"]
        return OneCycleLR(optimizer, max_lr=rate, total_steps=total + 1, cycle_momentum=False)
    if match := re.fullmatch(r"steps:([\d,]+)x([\d.]+)", text):
        milestones = [int(epoch) * batches for epoch in match[1].split(",")]
        return MultiStepLR(optimizer, milestones, gamma=float(match[2]))
    return LambdaLR(optimizer, lambda _step: 1.0)
