"""Synthetic images."""

import torch

from secateur.data.synthetic import noisy


def test_synthetic_images_are_patterns_under_noise_by_formula():
    patterns, labels = torch.randn(2, 1, 2, 2), torch.tensor([1, 0, 1])
    images = noisy(patterns, labels, torch.Generator().manual_seed(5))
    noise = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(5))
    assert torch.equal(images.pixels, (127.5 + 20 * patterns[labels] + 50 * noise).clamp(0, 255).byte())
    assert images.labels is labels
