"""WRN-22-8."""

from secateur.models.blocks.wide_residual import WideResNet


class WideResNet_22_8(WideResNet):  # noqa: N801 - named as its paper names it
    """WRN-22-8 (Zagoruyko & Komodakis, 2016): 17,158,106 parameters on CIFAR-10."""

    aliases = ("wrn-22-8",)
    depth = 22
    width = 8
