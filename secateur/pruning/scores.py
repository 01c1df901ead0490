"""Scores that more than one criterion uses."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.utils.seeds import seeded_generator


def random_scores(weights: dict[str, Tensor], seed: int, purpose: str) -> dict[str, Tensor]:
    """Draw a score from [0, 1) for each weight; the same for the same seed and purpose."""
    generator = seeded_generator(seed, purpose)
    return {name: torch.rand(weight.shape, generator=generator).to(weight.device) for name, weight in weights.items()}
