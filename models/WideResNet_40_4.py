"""WRN-40-4."""

from secateur.models.blocks.wide_residual import WideResNet


class WideResNet_40_4(WideResNet):  # noqa: N801 - named as its paper names it
    """WRN-40-4 (Zagoruyko & Komodakis, 2016): 8,949,210 parameters on CIFAR-10."""

    aliases = ("wrn-40-4",)
    depth = 40
    width = 4
