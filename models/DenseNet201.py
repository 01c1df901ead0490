"""DenseNet-201."""

from secateur.models.blocks.dense import DenseNet


class DenseNet201(DenseNet):
    """DenseNet-201 (Huang et al., 2017, table 1): 18,104,458 parameters on CIFAR-10, 20,013,928 on ImageNet."""

    depths = (6, 12, 48, 32)
