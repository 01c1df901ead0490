"""Random numbers that depend on the seed and on what they are for, so that no two uses draw the same."""

import hashlib

import torch


def seeded_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator of the CPU, the same for the same seed and purpose, unrelated for any other."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
