"""SNIP in several steps, before training."""

from secateur.criterions.SNIP import SNIP


class SNIPit(SNIP):
    """SNIP-it before training (Verdenius et al., 2020, algorithm 1).

    SNIP's score, computed again after each of `--snip_steps` + 2 steps towards the limit.
    """

    schedule = "snip_it"
