"""What the processes of a run do together, and whether they agree. Alone, a process has the whole of everything."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from secateur.channels.surgery import Removal
from secateur.pruning.masks import Masks
from secateur.runs.files import checksum
from secateur.training.optimizers import parameters_of
from secateur.training.resumable import random_state, set_random_state
from secateur.utils.errors import UserError
from secateur.utils.seeds import seeded_generator

T = TypeVar("T")


class LostProcessError(UserError):
    """Another process of the run has ended, so that this one cannot go on."""


def size() -> int:
    """How many processes the run has."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; that one is the first."""
    return dist.get_rank() if size() > 1 else 0


def part(number: int) -> slice:
    """Which of so many samples are this process's: as many as the others', but for one, in the order of the ranks."""
    return slice(number * rank() // size(), number * (rank() + 1) // size())


def shares(batches: Iterable[tuple[Tensor, Tensor]], whole: bool = False) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield this process's part of each batch, inputs (B, ...) and targets (B,), and which share of the batch it is.

    A mean over the whole batch is the sum over the processes of the share times the mean over the part. Of a batch that
    has too few samples, what is left with none gets one, and the share 0. With `whole` the processes take whole batches
    in turn, whose samples then keep what they have in common, as statistics; the others get two samples, and the share
    0.
    """
    for number, (inputs, targets) in enumerate(batches):
        if size() == 1:
            yield inputs, targets, 1.0
            continue
        if whole:
            mine = number % size() == rank()
            yield (inputs, targets, 1.0) if mine else (inputs[:2], targets[:2], 0.0)
            continue
        own = part(len(targets))
        share = (own.stop - own.start) / len(targets)
        own = own if share else slice(1)
        yield inputs[own], targets[own], share


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, the same bits on all of them."""
    _as_one(tensors, dist.all_reduce)


def sum_gradients(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Give all processes the gradients of the whole batch; each has those of its fraction of the loss, a scalar.

    Returns the loss of the whole batch.
    """
    if size() == 1:
        return loss
    whole = loss.detach().clone()
    sum_over_processes([*(weight.grad for weight in parameters_of(optimizer) if weight.grad is not None), whole])
    return whole


def broadcast_tensors(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by that of the first process."""
    _as_one(tensors, lambda joined: dist.broadcast(joined, 0))


def sum_of_numbers(*numbers: float) -> list[float]:
    """Return the sum of each number over all processes, in float64."""
    if size() == 1:
        return list(numbers)
    total = torch.tensor(numbers, dtype=torch.float64)
    sum_over_processes([total])
    return total.tolist()


def broadcast_from_rank0(make: Callable[[], T]) -> T:
    """Return what `make` returns in the first process, where alone it is called."""
    if size() == 1:
        return make()
    told = [make() if rank() == 0 else None]
    with _noticing_loss():
        dist.broadcast_object_list(told, 0)
    return told[0]


def gathered(value: T) -> list[T]:
    """Return what each process gives, in the order of their ranks, once all have given it."""
    if size() == 1:
        return [value]
    values: list[Any] = [None] * size()
    with _noticing_loss():
        dist.all_gather_object(values, value)
    return values


@contextlib.contextmanager
def first_of_each_machine_first() -> Iterator[None]:
    """Let one process of each machine do this before the others, which find what it has downloaded or decoded."""
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    if size() > 1 and not is_first:
        gathered(None)
    yield
    if size() > 1 and is_first:
        gathered(None)


def _as_one(tensors: Sequence[Tensor], collective: Callable[[Tensor], Any]) -> None:
    """Do something to all tensors at once, in one row of numbers."""
    if size() == 1 or not tensors:
        return
    with torch.no_grad(), _noticing_loss():
        row = torch.cat([tensor.reshape(-1) for tensor in tensors])
        collective(row)
        parts = row.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(
            list(tensors), [one.view(tensor.shape) for one, tensor in zip(parts, tensors, strict=True)]
        )


@contextlib.contextmanager
def _noticing_loss() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # all that torch says of a connection that another process has left
        raise LostProcessError("another process of this run has ended, so this one cannot continue") from error


#: How far apart the norms of the same weights may be on machines of different kinds, relative.
TOLERANCE = 1e-4


def check_same_pruning(masks: Masks, history: Iterable[Removal]) -> None:
    """Raise `UserError` where the processes have other masks than the first, or have removed other channels."""
    if size() == 1:
        return
    digests = {name: checksum(mask.cpu().numpy().tobytes()) for name, mask in masks.kept.items()}
    found = gathered((digests, list(history)))
    if different := [number for number, other in enumerate(found) if other != found[0]]:
        raise UserError(
            f"process {different[0]} has pruned other weights or channels than the first: the criterion must score "
            "what the batches give, or draw by --seed"
        )


def check_same_weights(network: nn.Module) -> None:
    """Raise `UserError` where a process has other weights than the first, as where its gradients were its own."""
    if size() == 1:
        return
    parameters = dict(network.named_parameters())
    found: list[Tensor] = gathered(torch.stack(torch._foreach_norm([*parameters.values()])).detach().cpu())
    for number, norms in enumerate(found):
        near = torch.isclose(norms, found[0], rtol=TOLERANCE, equal_nan=True)
        if not near.all():
            name = list(parameters)[int((~near).nonzero()[0])]
            raise UserError(
                f"process {number} has other weights in {name} than the first: the trainer must sum its gradients over "
                "the processes, as DefaultTrainer does"
            )


def sync_rng(device: torch.device) -> None:
    """Let all processes draw the same random numbers from now on: what is drawn for the network must be the same."""
    if size() > 1:
        state = broadcast_from_rank0(lambda: random_state(device))
        if rank():
            set_random_state(state, device)


def fork_rng(seed: int, moment: str) -> None:
    """Let each process draw random numbers of its own, as dropout does for its samples; the first draws as if alone."""
    if rank():
        torch.manual_seed(seeded_generator(seed, f"process {rank()}, {moment}").initial_seed())
