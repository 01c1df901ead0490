"""WRN-16-8."""

from secateur.models.blocks.wide_residual import WideResNet


class WideResNet_16_8(WideResNet):  # noqa: N801 - named as its paper names it
    """WRN-16-8 (Zagoruyko & Komodakis, 2016): 10,961,370 parameters on CIFAR-10."""

    aliases = ("wrn-16-8",)
    depth = 16
    width = 8
