"""The networks of the laboratory, by name, for the tests of them."""

import importlib
from pathlib import Path

import torch

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

#: Networks whose orthogonal initialisation takes seconds, with fewer channels.
NARROW = (
    ("stages", ((8,), (8,), (16, 16), (16,), (16, 32)), ("VGG16_SNIPit",)),
    ("hidden", (32, 32), ("VGG16_SNIPit",)),
    ("widths", (8, 8, 16, 16, 32, 32), ("ResNet18_SNIPit",)),
)


def make_shallow(monkeypatch):
    """Let the networks of `SHALLOW` have fewer blocks for a while, and those of `NARROW` fewer channels."""
    make_narrow(monkeypatch)
    _change(monkeypatch, SHALLOW)


def make_narrow(monkeypatch):
    """Let the networks of `NARROW` have fewer channels for a while."""
    _change(monkeypatch, NARROW)


def _change(monkeypatch, changes):
    for attribute, value, names in changes:
        for name in names:
            monkeypatch.setattr(class_of(name), attribute, value)


def class_of(name):
    return getattr(importlib.import_module(f"secateur.models.{name}"), name)


def build(name, input_shape, num_classes, seed=0, **options):
    torch.manual_seed(seed)
    return class_of(name)(input_shape, num_classes, **options)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())
