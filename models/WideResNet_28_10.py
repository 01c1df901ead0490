"""WRN-28-10."""

from secateur.models.blocks.wide_residual import WideResNet


class WideResNet_28_10(WideResNet):  # noqa: N801 - named as its paper names it
    """WRN-28-10 (Zagoruyko & Komodakis, 2016): 36,479,194 parameters on CIFAR-10."""

    aliases = ("wrn-28-10",)
    depth = 28
    width = 10
