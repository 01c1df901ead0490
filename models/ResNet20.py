"""ResNet-20, for CIFAR."""

from secateur.models.blocks.cifar_residual import CifarResNet


class ResNet20(CifarResNet):
    """ResNet-20 for CIFAR-10 (He et al., 2016, section 4.2): 269,722 parameters, 0.27 million in the paper."""

    blocks = 3
