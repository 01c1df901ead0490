"""Images as a bad camera takes them: seven corruptions in five strengths, in batches on the device.

In the spirit of Hendrycks & Dietterich, 2019 ("Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations"), with few and simple ones whose lengths grow with the image, so that they suit small images too.
Images are (B, C, H, W) with pixels in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from secateur.data.batches import Batches
from secateur.data.corruption_strengths import STRENGTHS
from secateur.utils.seeds import seeded_generator


def gaussian_noise(images: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Add to each pixel and channel a normal number of this standard deviation."""
    return images + deviation * torch.randn(images.shape, generator=generator, device=images.device)


def shot_noise(images: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Count photons, Poisson distributed, of which a white pixel receives so many on average."""
    return torch.poisson(images * photons, generator=generator) / photons


def blur(images: Tensor, width: float, _generator: torch.Generator) -> Tensor:
    """Convolve with a Gaussian of standard deviation `width` times the shorter side; the border repeats."""
    deviation = width * min(images.shape[2:])
    radius = max(1, round(3 * deviation))
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = (-(places**2) / (2 * deviation**2)).exp()
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = functional.pad(images, [radius] * 4, mode="replicate")
    across = functional.conv2d(padded, kernel, groups=images.shape[1])
    return functional.conv2d(across, kernel.transpose(2, 3), groups=images.shape[1])


def contrast(images: Tensor, factor: float, _generator: torch.Generator) -> Tensor:
    """Bring each channel of an image nearer to its mean: mean + factor * (pixel - mean)."""
    mean = images.mean((2, 3), keepdim=True)
    return mean + factor * (images - mean)


def brightness(images: Tensor, light: float, _generator: torch.Generator) -> Tensor:
    """Add `light` to every pixel."""
    return images + light


def occlusion(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """Cover a grey square (0.5) at a random place of each image, `side` times as long as the shorter side."""
    number, _, *extents = images.shape
    length = max(1, round(side * min(extents)))
    covered = []
    for extent in extents:
        places = torch.rand(number, 1, generator=generator, device=images.device)
        start = (places * (extent - length + 1)).floor()
        position = torch.arange(extent, device=images.device)
        covered.append((position >= start) & (position < start + length))
    rows, columns = covered
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.5)


def pixelate(images: Tensor, share: float, _generator: torch.Generator) -> Tensor:
    """Shrink to this share of height and width by averaging, and enlarge again by repeating."""
    size = [max(1, round(share * extent)) for extent in images.shape[2:]]
    return functional.interpolate(
        functional.interpolate(images, size, mode="area"), images.shape[2:], mode="nearest-exact"
    )


_BY_NAME = {
    function.__name__: function
    for function in (gaussian_noise, shot_noise, blur, contrast, brightness, occlusion, pixelate)
}


def corrupt(images: Tensor, corruption: str, level: int, generator: torch.Generator) -> Tensor:
    """Corrupt images by the strength of `level` 1 to 5; the result is clipped to [0, 1]."""
    strengths, _ = STRENGTHS[corruption]
    return _BY_NAME[corruption](images, strengths[level - 1], generator).clamp(0, 1)


def corrupted(batches: Batches, corruption: str, level: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images of `batches` corrupted by `level` 1 to 5 and normalised, with their labels.

    The randomness depends on the seed, the corruption, its level, the batch size and the kind of device alone.
    """
    number = seeded_generator(seed, f"{corruption} {level}").initial_seed()
    generator = torch.Generator(batches.scale.device).manual_seed(number)
    for inputs, labels in batches:
        changed = corrupt(as_pixels(batches, inputs), corruption, level, generator)
        yield batches.normalise(255 * changed), labels


def as_pixels(batches: Batches, inputs: Tensor) -> Tensor:
    """Turn what `batches` has normalised (B, C, H, W) back into pixels in [0, 1]."""
    return ((inputs - batches.shift) / batches.scale).round() / 255
