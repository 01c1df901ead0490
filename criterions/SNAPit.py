"""SNAP in several steps, before training."""

from secateur.criterions.SNAP import SNAP


class SNAPit(SNAP):
    """SNAP-it before training (Verdenius et al., 2020, algorithm 1).

    SNAP's score, computed again after each of `--snip_steps` + 2 steps towards the limit, a fraction of the units.
    """

    schedule = "snip_it"
