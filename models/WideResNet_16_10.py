"""WRN-16-10."""

from secateur.models.blocks.wide_residual import WideResNet


class WideResNet_16_10(WideResNet):  # noqa: N801 - named as its paper names it
    """WRN-16-10 (Zagoruyko & Komodakis, 2016): 17,116,634 parameters on CIFAR-10."""

    aliases = ("wrn-16-10",)
    depth = 16
    width = 10
