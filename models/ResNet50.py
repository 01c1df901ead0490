"""ResNet-50."""

from secateur.models.blocks.residual import BottleneckBlock, ImageNetResNet


class ResNet50(ImageNetResNet):
    """ResNet-50 (He et al., 2016, table 1): 23,520,842 parameters at 3x32x32 and 10 classes, 25,557,032 on ImageNet."""

    block = BottleneckBlock
    depths = (3, 4, 6, 3)
