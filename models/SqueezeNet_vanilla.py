"""SqueezeNet, without bypasses."""

from secateur.models.blocks.squeeze import SqueezeNet


class SqueezeNet_vanilla(SqueezeNet):  # noqa: N801 - named as the literature names it
    """SqueezeNet without bypasses (Iandola et al., 2016, figure 2).

    727,626 parameters on CIFAR-10, 1,248,424 on ImageNet.
    """

    bypass = False
