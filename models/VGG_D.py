"""SNIP's VGG-D."""

from secateur.models.blocks.snip import SnipVGG


class VGG_D(SnipVGG):  # noqa: N801 - named as its paper names it
    """VGG-D of SNIP (Lee et al., 2019): VGG-16 with two hidden layers of 512.

    15,255,626 parameters on CIFAR-10, of which 10,496 are the norms'; the paper counts 15.2 million.
    """

    hidden = (512, 512)
