"""Optimizers by name, and what they keep of each weight as weights come back and channels are removed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from secateur.config.registry import Registry
from secateur.utils.errors import UserError, nearest

#: SGD in the papers of the field means SGD with this momentum.
MOMENTUM = 0.9
#: SGD that looks ahead along its momentum (Sutskever et al., 2013, "On the importance of initialization and momentum").
NESTEROV = "nesterov"
#: These make their step as one operation over all weights, on CPUs as well.
FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


def build_optimizer(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build ADAM, SGD (momentum 0.9), NESTEROV (SGD with Nesterov's), RMSPROP, or any class of torch.optim.

    Case does not matter.

    Raises `UserError` for a name that is none, and for an optimizer that cannot train this kind of network.
    """
    kind = _kind(name)
    options = _options(name, kind, learning_rate, weight_decay)
    parameters = list(parameters)
    if kind in FUSED and all(parameter.device.type in ("cpu", "cuda") for parameter in parameters):
        options["fused"] = True
    _try_out(kind, options)
    try:
        return kind(parameters, **options)
    except (ValueError, TypeError) as error:
        raise UserError(f"--optimizer {name} cannot train this network: {error}") from error


def check_optimizer(name: str) -> None:
    """Raise `UserError` for a name that is none, and for an optimizer that asks for gradients of another kind."""
    kind = _kind(name)
    _try_out(kind, _options(name, kind, 1e-3, 0.0))


def _kind(name: str) -> type[torch.optim.Optimizer]:
    known = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    known[NESTEROV] = torch.optim.SGD
    kind = known.get(name.lower())
    if kind is None:
        names = [value.__name__ for value in known.values()]
        raise UserError(f"--optimizer: torch.optim has no '{name}'{nearest(name, names)}")
    return kind


def _options(name: str, kind: type[torch.optim.Optimizer], learning_rate: float, weight_decay: float) -> dict[str, Any]:
    options: dict[str, Any] = {"lr": learning_rate}
    if "weight_decay" in inspect.signature(kind).parameters:
        options["weight_decay"] = weight_decay
    if kind is torch.optim.SGD:
        options["momentum"] = MOMENTUM
    if name.lower() == NESTEROV:
        options["nesterov"] = True
    return options


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
def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that an optimizer trains."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def clip_norm(gradients: list[Tensor], largest: float) -> None:
    """Scale `gradients` in place so that all of them together have a norm of at most `largest`.

    What torch.nn.utils.clip_grad_norm_ does, in half the time for small networks: they are on one device.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))


def build_schedule(
    text: str, registry: Registry, optimizer: torch.optim.Optimizer, total: int, batches: int, at: int = 0
) -> LambdaLR:
    """Build the schedule that `--lr_schedule` names; it makes a step after every batch.

    Parameters: `total`, the steps of training; `batches`, those of an epoch; `at`, the step to begin at.
    """
    name, _, parameters = text.partition(":")
    schedule = registry.find("lr_schedules", name).load()(parameters, max(total, 1), batches)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = optimizer.defaults["lr"]
    return LambdaLR(optimizer, schedule.factor, last_epoch=at - 1)


@torch.no_grad()
def zero_moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, where: Tensor) -> None:
    """Set the moments of some weights to zero; `where` is a boolean tensor of the parameter's shape."""
    for moment in optimizer.state.get(parameter, {}).values():
        if isinstance(moment, Tensor) and moment.shape == parameter.shape:
            moment.masked_fill_(where, 0)


@torch.no_grad()
def prune_optimizer_state(moments: dict[str, Any], places: Tensor) -> None:
    """Follow a parameter that has lost channels: keep the moments of what is left.

    `places` says where that was in the flattened parameter. An optimizer that keeps anything in another form, as
    Adafactor's sums over rows and columns, starts again with this parameter.
    """
    numbers = {kind: moment for kind, moment in moments.items() if isinstance(moment, Tensor) and moment.dim()}
    if all(_had_shape_of(moment, places) for moment in numbers.values()):
        moments.update({kind: moment.flatten()[places] for kind, moment in numbers.items()})
    else:
        moments.clear()


def _had_shape_of(moment: Tensor, places: Tensor) -> bool:
    """Whether the moment can have a number for each of the parameter's before it was cut."""
    larger = moment.dim() == places.dim() and all(
        before >= now for before, now in zip(moment.shape, places.shape, strict=True)
    )
    return larger and int(places.max()) < moment.numel()


def keeps_one_state(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its state is of all parameters in one row, as that of LBFGS, which cannot follow removed channels."""
    return isinstance(optimizer, torch.optim.LBFGS)


def reset_state(optimizer: torch.optim.Optimizer) -> None:
    """Forget all steps of an optimizer that keeps one state; its parameters may have other shapes now."""
    optimizer.state.clear()
    optimizer._numel_cache = None  # how many numbers there were


def follow_removals(
    optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter], kept: dict[str, Tensor]
) -> bool:
    """Keep the state of what is left of each parameter, given by name, that has lost channels.

    Returns whether the optimizer starts again instead, as one must that keeps one state of all parameters.
    """
    if keeps_one_state(optimizer):
        reset_state(optimizer)
        return True
    for name, indices in kept.items():
        if moments := optimizer.state.get(parameters.get(name)):
            prune_optimizer_state(moments, indices)
    return False
