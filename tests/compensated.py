"""Networks whose channels are removed, and what is lost by it, for the tests of what makes up for that."""

import torch
from torch import nn
from torch.nn import functional

from secateur.channels.compensation import compensate
from secateur.channels.surgery import Surgery
from secateur.criterions.L1Norm import L1Norm
from secateur.pruning.masks import Masks
from secateur.utils.modes import evaluation_mode


def pruned(network, example, removals, compensation, batches=(), masks=None, rewinds=False, **options):
    """Remove channels from a network after making up for them; returns the notices."""
    surgery = Surgery(network, example)
    masks = masks or Masks(network)
    criterion = L1Norm(network, masks, functional.cross_entropy, masks.weights, compensate=compensation, **options)
    criterion.rewinds = rewinds
    notices = compensate(surgery, removals, [(inputs, None) for inputs in batches], criterion)
    masks.keep_indices(surgery.remove(removals))
    return notices


def outputs(network, images):
    with torch.no_grad(), evaluation_mode(network):
        return network(images)


def randomised(network):
    """Give the norms numbers that a trained network could have."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def double(layer, norm=None):
    """Make channels 1 and 3 the multiples 2 and 0.5 of channel 0, behind the norm too."""
    with torch.no_grad():
        for channel, factor in ((1, 2.0), (3, 0.5)):
            layer.weight[channel] = factor * layer.weight[0]
            if layer.bias is not None:
                layer.bias[channel] = factor * layer.bias[0]
            if norm:
                # (factor x - mean) / sqrt(variance + eps) is as before; scale and shift make it twice as much
                norm.running_mean[channel] = factor * norm.running_mean[0]
                norm.running_var[channel] = factor**2 * (norm.running_var[0] + norm.eps) - norm.eps
                norm.weight[channel], norm.bias[channel] = 2 * norm.weight[0], 2 * norm.bias[0]


PLAIN = {
    "linear": ((1, 6), lambda: [nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)]),
    "leaky": ((1, 6), lambda: [nn.Linear(6, 5), nn.LeakyReLU(0.05), nn.Linear(5, 3)]),
    "convolution": (
        (1, 2, 8, 8),
        lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 3, 3, padding=1), nn.Flatten()],
    ),
    "flattened": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 3)],
    ),
    "transposed": ((1, 2, 4, 4), lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 3, 2), nn.Flatten()]),
}
NORMED = {
    "convolution and norm": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.Flatten()],
    ),
    "flattened and norm": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)],
    ),
    "linear and norm": ((1, 6), lambda: [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)]),
    "pooled before": (
        (1, 2, 8, 8),
        lambda: [nn.Conv2d(2, 5, 3), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3)],
    ),
}
