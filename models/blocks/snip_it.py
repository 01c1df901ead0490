"""What the networks of SNIP-it's program have in common (Verdenius et al., 2020, "Pruning via Iterative Ranking ...").

LeakyReLU everywhere, batch norm after every convolution and hidden layer, dropout before every linear layer, and
orthogonal initialisation.
"""

import itertools
from collections.abc import Sequence

from torch import nn
from torch.nn.modules.conv import _ConvNd

#: Slope of LeakyReLU for negative numbers.
SLOPE = 0.05
DROPOUT = 0.3


def perceptron(widths: Sequence[int], num_classes: int) -> nn.Sequential:
    """Hidden layers from each width to the next, and the classifier: features (N, first) to logits (N, num_classes)."""
    hidden = [
        layer
        for inputs, outputs in itertools.pairwise(widths)
        for layer in (
            nn.Dropout(DROPOUT),
            nn.Linear(inputs, outputs),
            nn.BatchNorm1d(outputs),
            nn.LeakyReLU(SLOPE),
        )
    ]
    return nn.Sequential(*hidden, nn.Dropout(DROPOUT), nn.Linear(widths[-1], num_classes))


def orthogonal(network: nn.Module) -> None:
    """Orthogonal initialisation with the gain of LeakyReLU (Saxe et al., 2014); of the last layer with gain 1.

    Biases are torch's: uniform, up to 1 / sqrt(inputs).
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | _ConvNd)]
    gain = nn.init.calculate_gain("leaky_relu", SLOPE)
    for layer in layers:
        nn.init.orthogonal_(layer.weight, 1.0 if layer is layers[-1] else gain)
