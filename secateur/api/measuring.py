"""What is left of a network, and what it can still do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.measuring.attacks.catalogue import EPSILONS, find_attacks
from secateur.measuring.attacks.outcome import FORMS, rows_of
from secateur.measuring.attacks.search import PixelModel, classes
from secateur.measuring.attacks.search import search as search_adversarial
from secateur.measuring.calibration import calibrate
from secateur.measuring.evaluation import evaluate as evaluated
from secateur.measuring.flops import count_flops
from secateur.measuring.latency import median_seconds
from secateur.measuring.sparsity import measure_sparsity, shown_left
from secateur.pruning.saliency import Batch, LossFunction
from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode, frozen
from secateur.utils.seeds import seeded_globally
from secateur.utils.tables import Table


@dataclass(frozen=True)
class Measurement:
    """What a network is and costs. Prints as a small table."""

    #: All numbers of all parameters, and those that are not zero.
    parameters: int
    parameters_kept: int
    #: The fraction of the prunable weights that is zero, and of the hidden units all of whose weights are; in [0, 1].
    weight_sparsity: float
    node_sparsity: float
    #: Floating-point operations of one image, a multiply-add counted as two; and those of weights that are not zero.
    flops: int
    flops_effective: int
    #: Milliseconds of a batch, the median of interleaved turns, by the number of images.
    latency_ms: dict[int, float]
    #: Of all parameters and buffers in memory.
    bytes: int

    def __str__(self) -> str:
        rows = {
            "parameters kept": shown_left(self.parameters_kept, self.parameters, self.weight_sparsity),
            "weight sparsity": f"{self.weight_sparsity:.2%}",
            "unit sparsity": f"{self.node_sparsity:.2%}",
            "FLOPs, effective": shown_left(self.flops_effective, self.flops, self.weight_sparsity),
            **{f"latency, batch {size}": f"{taken:.3f} ms" for size, taken in self.latency_ms.items()},
            "bytes in memory": f"{self.bytes:,}",
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def measure(
    network: nn.Module, example: Tensor, *, batch_sizes: Sequence[int] = (1, 64), seconds: float = 1.0
) -> Measurement:
    """Measure a network as it is.

    Parameters
    ----------
    example: an image (1, C, H, W), or several, on the network's device.
    batch_sizes: images at a time that the latency is measured with; none to leave it out.
    seconds: how long each is measured.
    """
    sparsity = measure_sparsity(network)
    flops = count_flops(network, example[:1])
    latency = {}
    for size in batch_sizes:
        images = torch.rand(size, *example.shape[1:], device=example.device)
        latency[size] = 1000 * median_seconds({"network": network}, images, seconds)["network"]
    held = [*network.parameters(), *network.buffers()]
    return Measurement(
        parameters=sparsity.parameters,
        parameters_kept=sparsity.parameters_kept,
        weight_sparsity=sparsity.weight_sparsity,
        node_sparsity=sparsity.node_sparsity,
        flops=flops.total,
        flops_effective=flops.effective(sparsity.densities),
        latency_ms=latency,
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
    )


def evaluate(network: nn.Module, batches: Iterable[Batch], loss: LossFunction | None = None) -> dict[str, Any]:
    """Return loss, accuracy in [0, 1], the accuracy of each class and the confusion matrix over all batches.

    Parameters: `batches` of inputs (B, C, H, W) and classes (B,) on the network's device; `loss(logits, targets)`, by
    default cross-entropy. The network is in evaluation mode meanwhile. `confusion` is an int64 tensor (K, K), rows the
    true classes.
    """
    given = list(batches)
    if not given:
        raise UserError("batches= holds no batch to evaluate the network on")
    with evaluation_mode(network), torch.no_grad():
        num_classes = network(given[0][0][:1]).shape[1]
    found = evaluated(network, loss or functional.cross_entropy, given, num_classes)
    figures: dict[str, Any] = {"loss": found.loss, "accuracy": found.accuracy, "images": sum(len(y) for _, y in given)}
    if found.confusion is not None:
        images = found.confusion.sum(1).clamp(min=1)
        figures |= {"class_accuracies": (found.confusion.diagonal() / images).tolist(), "confusion": found.confusion}
    return figures


def calibration(network: nn.Module, batches: Iterable[Batch], *, bins: int = 15) -> dict[str, Any]:
    """Return whether a network's confidence can be believed (Guo et al., 2017, "On Calibration", section 2).

    Accuracy, mean confidence, expected and maximum calibration error in [0, 1], negative log-likelihood, Brier score in
    [0, 2], and what is in each of the `bins` of equal width. `batches` as for `evaluate`.
    """
    found = calibrate(network, batches, bins)
    return {**found.figures, "bins": found.by_bin}


@dataclass(frozen=True)
class _Normalisation:
    """What turns pixels from 0 to 255 into what a network takes: `pixels * scale + shift`."""

    scale: Tensor
    shift: Tensor


def attack(
    network: nn.Module,
    batches: Iterable[Batch],
    attacks: str = "FGSM,LinfPGD",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    epsilons: Sequence[float] | None = None,
    norm: str | None = None,
    steps: int | None = None,
    seed: int = 333,
) -> Table:
    """Attack a network with foolbox's attacks (Rauber et al., 2020), and return a row for each attack and epsilon.

    A row has clean and robust accuracy, success rate on the correctly classified images, and the median norm.

    Parameters
    ----------
    batches: inputs (B, C, H, W) as the network takes them, and classes (B,), on its device.
    attacks: names of attacks separated by commas, or `all`.
    mean, std: one number a channel, with which pixels in [0, 1] were normalised: (pixel - mean) / std. Without them the
        inputs are pixels in [0, 1] themselves.
    epsilons: distances in pixels of [0, 1] within which an image counts as attacked (default: six that double).
    norm: L0, L1, L2 or Linf, for attacks whose name does not say.
    steps: of each attack that has them.

    Raises `ValueError` for names that are none.
    """
    found_attacks = find_attacks(attacks, norm, steps)
    inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    channels = inputs.shape[1]
    std_tensor = torch.tensor(std or [1.0] * channels, device=inputs.device)[:, None, None]
    mean_tensor = torch.tensor(mean or [0.0] * channels, device=inputs.device)[:, None, None]
    pixels = (inputs * std_tensor + mean_tensor).clamp(0, 1)
    normalisation = _Normalisation(1 / (255 * std_tensor), -mean_tensor / std_tensor)
    rows = []
    with evaluation_mode(network), frozen(network):
        model = PixelModel(network, normalisation).eval()
        predicted = classes(model, pixels, len(pixels))
        for one in found_attacks:
            distances = sorted(set(epsilons or EPSILONS[one.norm]))
            distances = [math.inf] if one.is_spatial else [*distances, *([math.inf] if one.minimises else [])]
            with seeded_globally(seed, f"{one.name} 0"):
                found = search_adversarial(one, model, pixels, labels, predicted, distances, pool=(pixels, predicted))
            rows += rows_of(type(network).__name__, one, distances, [found])
    return Table("attacks", "attacks, epsilon and norm of pixels in [0, 1]", rows, FORMS)
