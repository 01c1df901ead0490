"""ResNet-32, for CIFAR."""

from secateur.models.blocks.cifar_residual import CifarResNet


class ResNet32(CifarResNet):
    """ResNet-32 for CIFAR-10 (He et al., 2016, section 4.2): 464,154 parameters, 0.46 million in the paper."""

    blocks = 5
