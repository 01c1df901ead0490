"""VGG-13."""

from secateur.models.blocks.vgg import VGG


class VGG13(VGG):
    """VGG-13 with batch norm (Simonyan & Zisserman, 2015, table 1 B).

    9,416,010 parameters on CIFAR-10, 133,053,736 on ImageNet.
    """

    depths = (2, 2, 2, 2, 2)
