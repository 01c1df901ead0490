"""SNIP in several steps, during training."""

from secateur.criterions.SNIPit import SNIPit


class SNIPitDuring(SNIPit):
    """SNIP-it during training (Verdenius et al., 2020, algorithm 1).

    SNIP's score and SNIP-it's schedule, one step each `--prune_freq` epochs from epoch `--prune_delay` on.
    """

    timing = "during"
