"""ResNet-18."""

from secateur.models.blocks.residual import ImageNetResNet


class ResNet18(ImageNetResNet):
    """ResNet-18 (He et al., 2016, table 1): 11,173,962 parameters at 3x32x32 and 10 classes, 11,689,512 on ImageNet."""

    depths = (2, 2, 2, 2)
