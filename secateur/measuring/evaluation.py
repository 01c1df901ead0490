"""Loss and accuracy over a whole set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.parallel.collectives import sum_of_numbers, sum_over_processes
from secateur.utils.modes import evaluation_mode

#: A confusion matrix of more classes is not counted: it grows with their square, and nobody can read it.
MOST_CLASSES = 2000
#: How many guesses an image has for the second accuracy.
GUESSES = 5


@dataclass
class Evaluation:
    """What a network does on a set of images."""

    loss: float
    accuracy: float
    #: Images of class i (row) that were taken for class j (column), int64 (K, K), on the CPU; None beyond MOST_CLASSES.
    confusion: Tensor | None
    #: The fraction of the images whose class is among the five of the largest logits; None of five classes or fewer.
    top5_accuracy: float | None = None


@torch.no_grad()
def evaluate(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> Evaluation:
    """Run the network in evaluation mode over all batches; waits for the device once, at the end.

    Where several processes share the batches (`Batches.shared`), each returns what they come to together.
    """
    total, right, among, count, confusion = 0.0, 0, 0, 0, None
    with evaluation_mode(network):
        for inputs, targets in batches:
            with autocast():
                logits = network(inputs)
                total = total + loss(logits, targets).float() * len(targets)
            predicted = logits.argmax(1)
            right = right + (predicted == targets).sum()
            if num_classes > GUESSES:
                among = among + among_guesses(logits, targets).sum()
            count += len(targets)
            if num_classes <= MOST_CLASSES:
                if confusion is None:
                    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=targets.device)
                cells = targets * num_classes + predicted
                confusion.scatter_add_(0, cells, torch.ones_like(cells))
    total, right, among, count = sum_of_numbers(float(total), int(right), int(among), count)
    if num_classes <= MOST_CLASSES:
        nothing = torch.zeros(num_classes * num_classes, dtype=torch.int64)
        confusion = (nothing if confusion is None else confusion).view(num_classes, num_classes).cpu()
        sum_over_processes([confusion])
    top5 = among / count if num_classes > GUESSES else None
    return Evaluation(total / count, right / count, confusion, top5)


def among_guesses(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether each image's class is among the GUESSES of the largest logits (B, K); equal ones go by position.

    A logit that is no number is larger than any other. Returns booleans (B,).
    """
    own = logits.gather(1, targets[:, None])
    earlier = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
    return (~(logits <= own) | ((logits == own) & earlier)).sum(1) < GUESSES
