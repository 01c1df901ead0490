"""Pruning of the smallest filters of a trained network."""

from secateur.criterions.L1Norm import L1Norm


class EfficientConvNets(L1Norm):
    """Pruning filters for efficient ConvNets (Li et al., 2017, section 3): train, prune, train on.

    The filters with the smallest L1 norms go, the same share in every layer, once: at `--prune_delay`, by default after
    seven eighths of training.
    """

    aliases = ()
    timing = "late"
