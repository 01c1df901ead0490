"""VGG-11."""

from secateur.models.blocks.vgg import VGG


class VGG11(VGG):
    """VGG-11 with batch norm (Simonyan & Zisserman, 2015, table 1 A).

    9,231,114 parameters on CIFAR-10, 132,868,840 on ImageNet.
    """

    depths = (1, 1, 2, 2, 2)
