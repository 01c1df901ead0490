"""DenseNet-169."""

from secateur.models.blocks.dense import DenseNet


class DenseNet169(DenseNet):
    """DenseNet-169 (Huang et al., 2017, table 1): 12,493,450 parameters on CIFAR-10, 14,149,480 on ImageNet."""

    depths = (6, 12, 32, 32)
