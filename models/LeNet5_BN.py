"""LeNet-5 with batch norms."""

from torch import nn

from secateur.models.LeNet5 import LeNet5

#: What normalises the outputs of a layer.
NORMS = {nn.Conv2d: nn.BatchNorm2d, nn.Linear: nn.BatchNorm1d}


class LeNet5_BN(LeNet5):  # noqa: N801 - named as LeNet5 is, and what it has beside
    """LeNet5 with a batch norm behind each hidden layer, for what prunes by norms (Ioffe & Szegedy, 2015, section 3.2).

    432,220 parameters on MNIST, of which 1,140 are the norms'.
    """

    aliases = ()

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__(input_shape, num_classes)
        layers: list[nn.Module] = []
        for layer in self.features:
            layers.append(layer)
            if norm := NORMS.get(type(layer)):
                layers.append(norm(len(layer.bias)))
        self.features = nn.Sequential(*layers)
