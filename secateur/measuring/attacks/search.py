"""Runs an attack on a batch and measures what it found: no claim of the attack's own is counted."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.data.batches import Batches
from secateur.measuring.attacks.catalogue import NORMS, Attack
from secateur.runs.failures import is_out_of_memory
from secateur.utils.errors import one_line, raised_at

#: What rounding may add to a perturbation that was scaled to epsilon: a share of it, and of a pixel's range.
ROUNDING = 1e-4, 1e-6
#: Adversarial images that are kept of a batch, to be looked at.
EXAMPLES = 6


class PixelModel(nn.Module):
    """A network that takes pixels in [0, 1] (N, C, H, W): it normalises them itself, so that distances are in pixels.

    Returns logits (N, K), float32 whatever the precision of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ) -> None:
        super().__init__()
        self.network, self.autocast = network, autocast
        self.scale, self.shift = 255 * batches.scale, batches.shift

    def forward(self, pixels: Tensor) -> Tensor:
        """Classify pixels."""
        with self.autocast():
            return self.network(pixels * self.scale + self.shift).float()


@dataclass
class Found:
    """What an attack found on a batch of B images, of which R were classified correctly; on the CPU."""

    images: int
    #: Whether an adversarial image was found within each epsilon, bool (E, R).
    broken: Tensor
    #: Of an attack that minimises: how far each adversarial image is from its original (R,), inf where none was found.
    norms: Tensor | None
    #: By epsilon; of an attack that minimises all of them in one run, which took each.
    seconds: list[float]
    #: The first of those that were found (at most EXAMPLES, C, H, W), beside their originals.
    adversarial: Tensor
    originals: Tensor


class AttackError(Exception):
    """An attack of foolbox that cannot go on, on these images."""


def search(
    attack: Attack,
    model: PixelModel,
    pixels: Tensor,
    labels: Tensor,
    predicted: Tensor,
    epsilons: Sequence[float],
    pool: tuple[Tensor, Tensor],
) -> Found:
    """Look for adversarial images of the correctly classified ones of a batch, within each of rising `epsilons`.

    `pixels` (B, C, H, W) lie in [0, 1]; `predicted` (B,) says what the model takes them for. `pool` has images and
    what they are taken for: attacks that walk along the boundary start at the nearest of another class. Raises
    `AttackError` where the attack gives up.
    """
    right = predicted == labels
    originals, labels = pixels[right], labels[right]
    broken = torch.zeros(len(epsilons), len(labels), dtype=torch.bool, device=pixels.device)
    adversarial = torch.full_like(originals, math.nan)
    seconds, norms = [0.0] * len(epsilons), None
    if attack.minimises:
        start = time.perf_counter()
        found = _perturbed(attack, model, originals, labels, pool).clamp(0, 1)
        norms = _norms_of_adversarial(attack, model, originals, labels, found)
        broken = torch.stack([_within(norms, epsilon) for epsilon in epsilons])
        adversarial[norms.isfinite()] = found[norms.isfinite()]
        norms = norms.cpu()
        seconds = [time.perf_counter() - start] * len(epsilons)
    else:
        for row, epsilon in enumerate(epsilons):
            if epsilon == 0:
                continue  # only the image itself lies within, which is right
            start = time.perf_counter()
            found = _perturbed(attack, model, originals, labels, pool, epsilon)
            found = attack.engine.distance.clip_perturbation(originals, found, epsilon).clamp(0, 1)
            broken[row] = _within(_norms_of_adversarial(attack, model, originals, labels, found), epsilon)
            first = broken[row] & ~broken[:row].any(0)
            adversarial[first] = found[first]  # which waits for the device
            seconds[row] = time.perf_counter() - start
    shown = adversarial.flatten(1).isfinite().all(1).nonzero().flatten()[:EXAMPLES]
    return Found(len(pixels), broken.cpu(), norms, seconds, adversarial[shown].cpu(), originals[shown].cpu())


@torch.no_grad()
def classes(model: PixelModel, pixels: Tensor, size: int) -> Tensor:
    """Return what the model takes pixels (N, C, H, W) for, int64 (N,), `size` of them at a time."""
    return torch.cat([model(part).argmax(1) for part in pixels.split(size)])


def _perturbed(
    attack: Attack,
    model: PixelModel,
    originals: Tensor,
    labels: Tensor,
    pool: tuple[Tensor, Tensor],
    epsilon: float | None = None,
) -> Tensor:
    """Let the attack run; images that it cannot start from stay as they are."""
    import foolbox

    images, predicted = pool
    options = {} if epsilon is None else {"epsilon": epsilon}
    usable = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    if attack.walks:
        usable = (predicted != labels[:, None]).any(1)
        distances = torch.cdist(originals.flatten(1), images.flatten(1))
        distances = distances.masked_fill(predicted == labels[:, None], math.inf)
        options["starting_points"] = images[distances.argmin(1)][usable]
    if not usable.any():
        return originals
    originals_left, labels_left = originals[usable], labels[usable]  # copies
    criterion = foolbox.criteria.Misclassification(labels_left)
    if attack.is_targeted:
        with torch.no_grad():
            logits = model(originals_left).scatter(1, labels_left[:, None], -math.inf)
        criterion = foolbox.criteria.TargetedMisclassification(logits.argmax(1))
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=originals.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what foolbox calls by names and in ways that are no longer wanted
        if hasattr(attack.engine, "feed"):
            attack.engine.inputs = attack.engine.outputs = None
            attack.engine.feed(wrapped, originals_left)
        try:
            found = attack.engine.run(wrapped, originals_left, criterion, **options)
        # What foolbox's attacks raise where they cannot take this network, these images or their own settings.
        except (AssertionError, NotImplementedError, RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise AttackError(f"{type(error).__name__} {one_line(error)}{raised_at(error)}") from error
    result = originals.clone()
    result[usable] = found.to(result.dtype)
    return result


@torch.no_grad()
def _norms_of_adversarial(
    attack: Attack, model: PixelModel, originals: Tensor, labels: Tensor, found: Tensor
) -> Tensor:
    """How far what was found is from its originals (R,); inf where it is not finite or not misclassified."""
    finite = found.flatten(1).isfinite().all(1)
    wrong = model(found.nan_to_num()).argmax(1) != labels
    norms = torch.linalg.vector_norm((found - originals).flatten(1), ord=NORMS[attack.norm], dim=1)
    return torch.where(finite & wrong, norms, torch.inf)


def _within(norms: Tensor, epsilon: float) -> Tensor:
    share, constant = ROUNDING
    # Within 0 lies the image alone, which is right, whatever rounding makes of it in a batch of another size.
    return norms.isfinite() & (norms <= epsilon * (1 + share) + constant) & (epsilon > 0)
