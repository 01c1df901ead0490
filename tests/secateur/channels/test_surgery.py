"""Removing channels is what zeroing them is, on every network, and training goes on with what is left."""

import importlib
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from secateur.channels.surgery import Surgery, replay
from secateur.runs.model_zoos import torchvision_network
from secateur.training.optimizers import build_optimizer, prune_optimizer_state
from tests.models.networks import make_shallow, narrow_vgg
from tests.secateur.channels.networks import assert_close, outputs, scattered, zeroed

FOLDER = Path(__file__).parents[3] / "models"
ZOO = ["densenet121", "googlenet", "mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0", "vgg11_bn", "vit_b_16"]
ZOO += ["shufflenet_v2_x0_5"]
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")
NAMES += [f"torchvision:{name}" for name in ZOO]
#: Many layers to trace, or many weights.
HEAVY = {"DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264", "ResNet56", "ResNet110", "ViT_tiny", "VGG19"}
HEAVY |= {"WideResNet_16_10", "WideResNet_22_8", "WideResNet_28_10", "ResNet50", "GoogLeNet"}
HEAVY |= {f"torchvision:{name}" for name in ZOO if name not in ("resnet18", "mobilenet_v2", "squeezenet1_0")}
#: These differ from DenseNet121 in depth alone, which makes them slow: they lose channels once.
DEEPER = {"DenseNet169", "DenseNet201", "DenseNet264"}
#: torchvision's networks halve the image more often.
SIZES = {f"torchvision:{name}": 32 for name in ZOO}
NETWORKS = [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in NAMES]


@pytest.fixture(autouse=True)
def _shallow(monkeypatch):
    make_shallow(monkeypatch)


def image_of(name):
    size = SIZES.get(name, 16)
    return torch.zeros(1, 3, size, size)


def build(name, seed=0):
    torch.manual_seed(seed)
    shape = tuple(image_of(name).shape[1:])
    if name == "torchvision:vgg11_bn":
        return narrow_vgg("vgg11_bn", shape, 5)
    if name.startswith("torchvision:"):
        return torchvision_network(name.removeprefix("torchvision:"), shape, 5)
    return getattr(importlib.import_module(f"secateur.models.{name}"), name)(shape, 5)


def random_removals(surgery, fraction, seed=0):
    """Draw channels of every group that can lose some: as (root, channels)."""
    generator = torch.Generator().manual_seed(seed)
    removals = []
    for root, group in surgery.groups.items():
        units = torch.randperm(len(group.units), generator=generator)[: int(fraction * len(group.units))]
        if len(units):
            removals.append((root, sorted(group.units[units].flatten().tolist())))
    return removals


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_computes_the_same_as_with_zeros_and_is_repeated_bit_for_bit(name):
    network, image = scattered(build(name)), image_of(name)
    surgery = Surgery(network, image)
    if name == "LogisticRegression":
        assert surgery.groups == {}
        return
    parameters = dict(network.named_parameters())
    removed, weights = [], sum(parameter.numel() for parameter in network.parameters())
    for seed in (0,) if name in DEEPER else (0, 1):
        surgery = Surgery(network, image, surgery.groups) if seed else surgery  # the second time of what is left
        removals = random_removals(surgery, 0.4, seed)
        expected = zeroed(network, surgery, removals)
        surgery.remove(removals)
        removed.append(removals)
        assert_close(outputs(network, image), outputs(expected, image))
        # the optimizer, the masks and the criterion hold the parameters themselves
        assert all(parameter is parameters[key] for key, parameter in network.named_parameters())
        left = sum(parameter.numel() for parameter in network.parameters())
        assert left < weights
        weights = left
    fresh = build(name, seed=9)
    replay(fresh, image, removed)
    fresh.load_state_dict(network.state_dict())
    assert outputs(fresh, image).equal(outputs(network, image))


def step(network, optimizer, image, seed):
    """Train on four images."""
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = torch.rand((4, *image.shape[1:]), generator=generator), torch.tensor([0, 1, 2, 3])
    optimizer.zero_grad()
    loss = functional.cross_entropy(network.train()(inputs), targets)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


# Which optimizer it is makes no difference to which network it is: the heavy ones take one. Of the DenseNets one is
# looked at; tests/models/test_pruned_models.py prunes and trains them all.
STEPPED = [
    (name, kind)
    for name in NAMES
    for kind in ("ADAM", "SGD")
    if (kind == "SGD" or name not in HEAVY) and name not in DEEPER
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[pytest.mark.slow] if name in HEAVY else [])
        for name, kind in STEPPED
        if name != "LogisticRegression"
    ],
)
def test_training_goes_on_with_the_moments_of_what_is_left(name, kind):
    network, image = build(name), image_of(name)
    optimizer = build_optimizer(kind, network.parameters(), 1e-3, 0.0)
    step(network, optimizer, image, 0)
    surgery = Surgery(network, image)
    parameters = dict(network.named_parameters())
    before = {
        key: {moment: tensor.clone() for moment, tensor in optimizer.state[parameter].items() if tensor is not None}
        for key, parameter in parameters.items()
    }
    changed = surgery.remove(random_removals(surgery, 0.4))
    for key, places in changed.items():
        if key in parameters:
            prune_optimizer_state(optimizer.state[parameters[key]], places)
    for key, parameter in parameters.items():
        for moment, tensor in optimizer.state[parameter].items():
            if moment == "step":
                assert tensor.equal(before[key][moment])
                continue
            assert tensor.shape == parameter.shape
            kept = before[key][moment].flatten()[changed[key]] if key in changed else before[key][moment]
            assert tensor.equal(kept)
    assert step(network, optimizer, image, 1) < float("inf")
    assert all(parameter.isfinite().all() for parameter in parameters.values())
    assert all(parameter.grad.shape == parameter.shape for parameter in parameters.values())
