"""SNIP's VGG-like."""

from secateur.models.blocks.snip import SnipVGG


class VGG_like(SnipVGG):  # noqa: N801 - named as its paper names it
    """VGG-like of SNIP (Lee et al., 2019; Zagoruyko, 2015): VGG-16 with one hidden layer of 512.

    14,991,946 parameters on CIFAR-10, of which 9,472 are the norms'; the paper counts 15.0 million.
    """

    hidden = (512,)
