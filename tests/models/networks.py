"""The networks of the laboratory, by name, for the tests of them."""

import importlib
from pathlib import Path

import torch
from torch import nn

from secateur.runs.model_zoos import torchvision_network
from secateur.utils.torchvision_import import torchvision

vit = torchvision.models.vision_transformer

FOLDER = Path(__file__).parents[2] / "models"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")


#: Networks that differ from another of their family in depth and width alone, with fewer blocks: what is tried on them
#: takes as long as there are layers, and finds nothing that one depth of a family does not show.
SHALLOW = (
    ("depths", (2, 3, 2, 2), ("DenseNet169", "DenseNet201", "DenseNet264")),
    ("blocks", 2, ("ResNet32", "ResNet44", "ResNet56", "ResNet110")),
    ("depths", (1, 2, 1, 2), ("ResNet34",)),
    ("depth", 10, ("WideResNet_16_10", "WideResNet_22_8", "WideResNet_28_10", "WideResNet_40_4")),
    ("depths", (1, 1, 2, 1, 2), ("VGG16", "VGG19")),
)


def make_shallow(monkeypatch):
    """Let the networks of `SHALLOW`, and large ones of torchvision, have fewer blocks for a while."""
    for attribute, value, names in SHALLOW:
        for name in names:
            monkeypatch.setattr(class_of(name), attribute, value)
    densenet, vision_transformer = torchvision.models.densenet._densenet, vit._vision_transformer
    monkeypatch.setattr(
        torchvision.models.densenet,
        "_densenet",
        lambda growth, blocks, *rest, **options: densenet(growth, (2, 3, 2, 2), *rest, **options),
    )
    monkeypatch.setattr(vit, "_vision_transformer", lambda **options: vision_transformer(**options | {"num_layers": 2}))


def narrow_vgg(name, input_shape, num_classes):
    """A VGG of torchvision whose classifier has 64 neurons a layer, where 4,096 have a hundred million weights."""
    with torch.device("meta"):
        network = torchvision_network(name, input_shape, num_classes)
        for place, inputs, outputs in ((0, 512 * 7 * 7, 64), (3, 64, 64), (6, 64, num_classes)):
            network.classifier[place] = nn.Linear(inputs, outputs)
    network.to_empty(device="cpu")
    for layer in network.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return network


def class_of(name):
    return getattr(importlib.import_module(f"secateur.models.{name}"), name)


def build(name, input_shape, num_classes, seed=0, **options):
    torch.manual_seed(seed)
    return class_of(name)(input_shape, num_classes, **options)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())
