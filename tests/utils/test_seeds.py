"""Numbers are the same for the same seed and use, and each use has its own."""

import hashlib

import numpy as np
import torch

from secateur.utils.seeds import seeded_generator, seeded_globally


def test_a_generator_is_seeded_by_a_hash_of_the_seed_and_the_use():
    digest = hashlib.blake2b(b"3/masks", digest_size=8).hexdigest()
    # of its 64 bits the last is left out: torch takes 63
    assert seeded_generator(3, "masks").initial_seed() == int(digest, 16) // 2
    drawn = {
        float(torch.rand((), generator=seeded_generator(*use))) for use in ((3, "masks"), (3, "data"), (4, "masks"))
    }
    assert len(drawn) == 3


def test_global_generators_are_seeded_for_a_while_and_go_on_as_before():
    def draw():
        return float(torch.rand(())), float(np.random.rand())  # noqa: NPY002

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    wanted = [draw(), draw()]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    found = [draw()]
    inside = []
    for _ in range(2):
        with seeded_globally(3, "masks"):
            inside.append(draw())
    assert inside[0] == inside[1]
    assert not set(inside[0]) & {number for pair in wanted for number in pair}
    assert [*found, draw()] == wanted
