"""VGG-19."""

from secateur.models.blocks.vgg import VGG


class VGG19(VGG):
    """VGG-19 with batch norm (Simonyan & Zisserman, 2015, table 1 E).

    20,040,522 parameters on CIFAR-10, 143,678,248 on ImageNet.
    """

    depths = (2, 2, 4, 4, 4)
