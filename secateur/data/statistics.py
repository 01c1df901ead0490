"""Mean and standard deviation of a training set that does not come with them."""

import itertools

import torch

from secateur.data.data_set import Images
from secateur.data.streaming import StreamedImages

#: Images that are looked at, evenly spread: enough to know a mean to a thousandth.
SAMPLE = 2000
BATCH = 100


def channel_statistics(images: Images | StreamedImages) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the pixels, scaled to [0, 1], as one number a channel each."""
    sample = images.subset(torch.arange(0, len(images), max(len(images) // SAMPLE, 1)))
    edges = [*range(0, len(sample), BATCH), len(sample)]
    moments = [
        torch.stack([scaled.mean((2, 3)).sum(0), scaled.square().mean((2, 3)).sum(0)])
        for scaled in (pixels.double() / 255 for pixels, _labels in sample.batches([*itertools.pairwise(edges)]))
    ]
    mean, square = torch.stack(moments).sum(0) / len(sample)
    deviation = (square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
    return mean.tolist(), deviation.tolist()
