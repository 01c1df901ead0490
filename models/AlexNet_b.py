"""SNIP's AlexNet-b."""

from secateur.models.blocks.snip import SnipAlexNet


class AlexNet_b(SnipAlexNet):  # noqa: N801 - named as its paper names it
    """AlexNet-b of SNIP (Lee et al., 2019): hidden layers of 2048.

    8,501,322 parameters on CIFAR-10, of which 10,944 are the norms'; the paper counts 8.5 million.
    """

    width = 2048
