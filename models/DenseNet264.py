"""DenseNet-264."""

from secateur.models.blocks.dense import DenseNet


class DenseNet264(DenseNet):
    """DenseNet-264 (Huang et al., 2017, table 1): 30,667,914 parameters on CIFAR-10, 33,337,704 on ImageNet."""

    depths = (6, 12, 64, 48)
