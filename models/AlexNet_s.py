"""SNIP's AlexNet-s."""

from secateur.models.blocks.snip import SnipAlexNet


class AlexNet_s(SnipAlexNet):  # noqa: N801 - named as its paper names it
    """AlexNet-s of SNIP (Lee et al., 2019): hidden layers of 1024.

    5,077,066 parameters on CIFAR-10, of which 6,848 are the norms'; the paper counts 5.1 million.
    """

    width = 1024
