"""ResNet-34."""

from secateur.models.blocks.residual import ImageNetResNet


class ResNet34(ImageNetResNet):
    """ResNet-34 (He et al., 2016, table 1): 21,282,122 parameters at 3x32x32 and 10 classes, 21,797,672 on ImageNet."""

    depths = (3, 4, 6, 3)
