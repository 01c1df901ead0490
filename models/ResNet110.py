"""ResNet-110, for CIFAR."""

from secateur.models.blocks.cifar_residual import CifarResNet


class ResNet110(CifarResNet):
    """ResNet-110 for CIFAR-10 (He et al., 2016, section 4.2): 1,727,962 parameters, 1.7 million in the paper."""

    blocks = 18
