"""VGG-16."""

from secateur.models.blocks.vgg import VGG


class VGG16(VGG):
    """VGG-16 with batch norm (Simonyan & Zisserman, 2015, table 1 D).

    14,728,266 parameters on CIFAR-10, 138,365,992 on ImageNet.
    """

    depths = (2, 2, 3, 3, 3)
