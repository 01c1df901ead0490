"""CNIP in several steps, during training."""

from secateur.criterions.CNIPit import CNIPit


class CNIPitDuring(CNIPit):
    """CNIP-it during training (Verdenius et al., 2020, algorithm 1, with the scores of CNIP).

    One step each `--prune_freq` epochs from epoch `--prune_delay` on.
    """

    timing = "during"
