"""Networks with few weights, and some that do what is seldom done between layers."""

import torch
from torch import nn
from torch.nn import functional


def thinned(network, density=0.2):
    """The network with a random part of its weights, and norms that have seen something."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            with torch.no_grad():
                module.weight.mul_(torch.rand_like(module.weight) < density)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return network.eval()


class Unusual(nn.Module):
    """What networks do between layers, and what blocks cannot do."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding="valid")
        self.second = nn.Conv2d(8, 8, 3, padding="same", groups=4)
        self.third = nn.Conv2d(16, 8, (1, 3), dilation=(1, 2), bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.pool = nn.AvgPool2d(2)
        self.gate = nn.Linear(8, 8)
        self.last = nn.Linear(8 * 7, 5)

    def forward(self, images):
        features = functional.relu(self.first(images))
        features = torch.cat([self.second(features), features], dim=1)
        features = functional.gelu(self.norm(self.third(features)))
        gate = torch.sigmoid(self.gate(features.mean((2, 3))))
        features = features * gate[:, :, None, None]
        features = features + features.flip(3)
        features = functional.max_pool2d(features, 3, stride=1, padding=1)
        return self.last(self.pool(features).view(images.size(0), -1))


class Untraceable(nn.Module):
    """Decides by values."""

    def __init__(self):
        super().__init__()
        self.convolution, self.layer = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, images):
        features = self.convolution(images)
        if features.sum() > 1e9:
            return features
        return self.layer(features.flatten(2).transpose(1, 2)).mean(1)


class Sliced(nn.Module):
    """A network that asks images for several of their sizes at once."""

    def __init__(self):
        super().__init__()
        self.convolution, self.layer = nn.Conv2d(3, 4, 3), nn.Linear(4 * 16, 5)

    def forward(self, images):
        features = self.convolution(images).relu()
        return self.layer(features.reshape(features.shape[:1] + (-1,)))  # noqa: RUF005 - which fx can trace
