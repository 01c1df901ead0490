"""CNIP in several steps, before training."""

from secateur.criterions.CNIP import CNIP


class CNIPit(CNIP):
    """CNIP-it before training (Verdenius et al., 2020, algorithm 1, with the scores of CNIP).

    CNIP's scores, computed again after each of `--snip_steps` + 2 steps towards the limit.
    """

    schedule = "snip_it"
