"""DenseNet-121."""

from secateur.models.blocks.dense import DenseNet


class DenseNet121(DenseNet):
    """DenseNet-121 (Huang et al., 2017, table 1): 6,956,426 parameters on CIFAR-10, 7,978,856 on ImageNet."""

    depths = (6, 12, 24, 16)
