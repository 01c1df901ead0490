"""SNAP in several steps, during training."""

from secateur.criterions.SNAPit import SNAPit


class SNAPitDuring(SNAPit):
    """SNAP-it during training (Verdenius et al., 2020, algorithm 1).

    SNAP's score and SNIP-it's schedule, one step each `--prune_freq` epochs from epoch `--prune_delay` on.
    """

    timing = "during"
