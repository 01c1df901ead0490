"""Random numbers that depend on the seed and on what they are for, so that no two uses draw the same."""

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def seeded_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator of the CPU, the same for the same seed and purpose, unrelated for any other."""
    return torch.Generator().manual_seed(_number(seed, purpose))


@contextlib.contextmanager
def seeded_globally(seed: int, purpose: str) -> Iterator[None]:
    """Seed the global generators, for libraries that draw from them; on the CPU they go on afterwards as before."""
    number, numpy_state = _number(seed, purpose), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        np.random.seed(number % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


def _number(seed: int, purpose: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
