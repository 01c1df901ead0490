"""ResNet-44, for CIFAR."""

from secateur.models.blocks.cifar_residual import CifarResNet


class ResNet44(CifarResNet):
    """ResNet-44 for CIFAR-10 (He et al., 2016, section 4.2): 658,586 parameters, 0.66 million in the paper."""

    blocks = 7
