"""ResNet-56, for CIFAR."""

from secateur.models.blocks.cifar_residual import CifarResNet


class ResNet56(CifarResNet):
    """ResNet-56 for CIFAR-10 (He et al., 2016, section 4.2): 853,018 parameters, 0.85 million in the paper."""

    blocks = 9
