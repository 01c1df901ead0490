"""SqueezeNet, with simple bypasses, which have no parameters."""

from secateur.models.blocks.squeeze import SqueezeNet


class SqueezeNet_bypass(SqueezeNet):  # noqa: N801 - named as the literature names it
    """SqueezeNet with simple bypasses, which have no parameters (Iandola et al., 2016, figure 2).

    727,626 parameters on CIFAR-10, 1,248,424 on ImageNet.
    """

    bypass = True
