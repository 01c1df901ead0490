"""Initialisations that papers name."""

from torch import nn
from torch.nn.modules.conv import _ConvNd


def glorot_normal(network: nn.Module) -> None:
    """Variance-scaling initialisation of every Linear and convolution, biases zero (Glorot & Bengio, 2010)."""
    for module in network.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def he_normal(network: nn.Module) -> None:
    """Normal initialisation of every convolution by its fan-out, for ReLU networks; biases zero (He et al., 2015)."""
    for module in network.modules():
        if isinstance(module, _ConvNd):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def narrow_normal(network: nn.Module, deviation: float = 0.01) -> None:
    """Normal initialisation of every Linear with one standard deviation, biases zero (Krizhevsky et al., 2012)."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=deviation)
            nn.init.zeros_(module.bias)
