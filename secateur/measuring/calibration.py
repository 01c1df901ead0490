"""Whether a network's confidence can be believed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.utils.modes import evaluation_mode


@dataclass(frozen=True)
class Calibration:
    """Confidence, the probability of the class that is named, beside accuracy (Guo et al., 2017, section 2).

    The bins are of equal width: bin m of M holds the images whose confidence is in ((m - 1) / M, m / M].
    """

    #: By bin: images, and the means over them of the confidence and of being right; 0 where there are none.
    images: list[int]
    confidence: list[float]
    accuracy: list[float]
    #: Means over all images: -ln p of the right class, and the squared distance of the probabilities from the truth,
    #: sum_k (p_k - y_k)^2, in [0, 2] (Brier, 1950).
    negative_log_likelihood: float
    brier_score: float

    @property
    def gaps(self) -> list[float]:
        """By bin: accuracy - confidence; negative where the network is too sure of itself."""
        return [right - sure for right, sure in zip(self.accuracy, self.confidence, strict=True)]

    @property
    def expected_error(self) -> float:
        """The mean over all images of their bin's |gap| (equation 3), in [0, 1]."""
        return self._mean([abs(gap) for gap in self.gaps])

    @property
    def maximum_error(self) -> float:
        """The largest |gap| of a bin that holds an image (equation 5), in [0, 1]."""
        return max(abs(gap) for gap, images in zip(self.gaps, self.images, strict=True) if images)

    @property
    def mean_confidence(self) -> float:
        """The mean confidence over all images."""
        return self._mean(self.confidence)

    @property
    def mean_accuracy(self) -> float:
        """The share of all images that are right."""
        return self._mean(self.accuracy)

    @property
    def figures(self) -> dict[str, float]:
        """What is one number, by the name that tables and results.json give it."""
        return {
            "accuracy": self.mean_accuracy,
            "confidence": self.mean_confidence,
            "expected_error": self.expected_error,
            "maximum_error": self.maximum_error,
            "nll": self.negative_log_likelihood,
            "brier": self.brier_score,
        }

    @property
    def by_bin(self) -> dict[str, list]:
        """What is one number a bin."""
        return {"images": self.images, "confidence": self.confidence, "accuracy": self.accuracy}

    def _mean(self, values: list[float]) -> float:
        weighted = (value * images for value, images in zip(values, self.images, strict=True))
        return sum(weighted) / sum(self.images)


@torch.no_grad()
def calibrate(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    bins: int = 15,
    autocast: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> Calibration:
    """Run the network in evaluation mode over all batches, at least one image; waits for the device once, at the end.

    Inputs are (B, C, H, W), targets (B,); the network returns logits (B, K).
    """
    parts = []
    with evaluation_mode(network):
        for inputs, targets in batches:
            with autocast():
                logits = network(inputs)
            logarithms = logits.float().log_softmax(1)
            probabilities = logarithms.exp()
            confidence, predicted = probabilities.max(1)
            of_right = logarithms.gather(1, targets[:, None])[:, 0]
            brier = probabilities.square().sum(1) - 2 * of_right.exp() + 1
            parts.append(torch.stack([confidence, (predicted == targets).float(), -of_right, brier]))
    confidence, right, likelihood, brier = torch.cat(parts, 1).cpu().double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    number = torch.bucketize(confidence, edges[1:-1])
    images = torch.bincount(number, minlength=bins)
    means = [torch.bincount(number, values, bins) / images.clamp(min=1) for values in (confidence, right)]
    return Calibration(
        images.tolist(), *(mean.tolist() for mean in means), float(likelihood.mean()), float(brier.mean())
    )
