"""The networks: published sizes, every shape of image, repeatable initialisation, the papers' architecture."""

import ast
import importlib
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from models.blocks.residual import BasicBlock
from models.LeNet5 import LeNet5
from models.LeNet300 import LeNet300
from models.LogisticRegression import LogisticRegression
from models.MLP5 import MLP5
from models.ResNet18 import ResNet18
from utils.torchvision_import import torchvision

FOLDER = Path(__file__).parents[2] / "models"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 40, 40), (2, 20, 36)]


def build(name, input_shape, num_classes, seed=0):
    torch.manual_seed(seed)
    return getattr(importlib.import_module(f"models.{name}"), name)(input_shape, num_classes)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def scattered_norms(network):
    """Give the norms statistics and factors as after some training, so that none of them is neutral."""
    generator = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in (
                (module.weight.data, 0.5),
                (module.bias.data, -0.5),
                (module.running_mean, -0.5),
                (module.running_var, 0.5),
            ):
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))


@pytest.mark.parametrize(
    ("name", "input_shape", "num_classes", "count"),
    [
        # LeCun et al. (1998), as counted by SNIP: (784 * 300 + 300) + (300 * 100 + 100) + (100 * 10 + 10)
        ("LeNet300", (1, 28, 28), 10, 266_610),
        # Han et al. (2015): (25 * 20 + 20) + (20 * 25 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
        ("LeNet5", (1, 28, 28), 10, 431_080),
        # Frankle & Carbin (2019): 1,145,408 in the convolutions, 1,048,832 + 65,792 + 2,570 in the linear layers
        ("Conv6", (3, 32, 32), 10, 2_262_602),
        ("ResNet18", (3, 32, 32), 10, 11_173_962),
        # He et al. (2016)
        ("ResNet18", (3, 224, 224), 1000, 11_689_512),
        # 784 * 10 + 10
        ("LogisticRegression", (1, 28, 28), 10, 7_850),
        # 784 * 256 + 3 * 256 * 256 + 256 * 10 weights, 4 * 256 + 10 biases, 2 * 4 * 256 of the norms
        ("MLP5", (1, 28, 28), 10, 402_954),
    ],
)
def test_published_number_of_parameters(name, input_shape, num_classes, count):
    assert parameters(build(name, input_shape, num_classes)) == count


@pytest.mark.parametrize("input_shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("name", NAMES)
def test_any_image_gives_one_finite_logit_a_class_and_finite_gradients(name, input_shape):
    network = build(name, input_shape, 7)
    images = torch.rand(3, *input_shape, generator=torch.Generator().manual_seed(2))
    logits = network(images)
    assert logits.shape == (3, 7)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.tensor([0, 3, 6])).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert any(parameter.grad.any() for parameter in network.parameters())
    network.eval()
    with torch.no_grad():
        # In evaluation mode an image's logits do not depend on the other images.
        assert torch.allclose(network(images)[:1], network(images[:1]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_initialisation_follows_the_seed(name):
    states = [build(name, (3, 8, 8), 4, seed).state_dict() for seed in (5, 5, 6)]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][key].equal(states[1][key]) for key in states[0])
    assert any(not states[0][key].equal(states[2][key]) for key in states[0])


@pytest.mark.parametrize("path", list(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_networks_know_nothing_of_pruning(path):
    tree = ast.parse(path.read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith(("utils.pruning", "criterions"))]


@pytest.mark.parametrize("kind", [LeNet300, LeNet5])
def test_lenets_start_from_the_initialisation_of_snip(kind):
    torch.manual_seed(0)
    network = kind((1, 28, 28), 10)
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            area = layer.weight[0, 0].numel() if layer.weight.dim() > 2 else 1
            outputs, inputs = layer.weight.shape[:2]
            # Five standard errors of a standard deviation: 5 / sqrt(2 n)
            tolerance = 5 / math.sqrt(2 * layer.weight.numel())
            assert float(layer.weight.detach().std()) == pytest.approx(
                math.sqrt(2 / ((inputs + outputs) * area)), rel=tolerance
            )
            assert not layer.bias.any()


def test_residual_networks_start_from_the_initialisation_of_he():
    torch.manual_seed(0)
    for layer in ResNet18((3, 32, 32), 10).modules():
        if isinstance(layer, nn.Conv2d):
            expected = math.sqrt(2 / (layer.out_channels * layer.kernel_size[0] ** 2))
            tolerance = 5 / math.sqrt(2 * layer.weight.numel())
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=tolerance)
            assert layer.bias is None


def test_logistic_regression_is_a_matrix_product():
    network = LogisticRegression((1, 2, 2), 2)
    with torch.no_grad():
        network.classifier.weight.copy_(torch.tensor([[1.0, 0, 0, -1], [0, 2, 1, 0]]))
        network.classifier.bias.copy_(torch.tensor([0.5, -3]))
    assert network(torch.tensor([[[[1.0, 2], [3, 4]]]])).tolist() == [[-2.5, 4]]


@pytest.mark.parametrize("width", [1, 32])
def test_width_of_the_mlp(width):
    network = MLP5((1, 8, 8), 10, hidden_dim=width)
    linear = [tuple(layer.weight.shape) for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert linear == [(width, 64), (width, width), (width, width), (width, width), (10, width)]


def test_a_block_whose_second_norm_is_zero_passes_its_input_on():
    block = BasicBlock(4, 4, stride=1)
    nn.init.zeros_(block.bn2.weight)
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features.relu())


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 8, 1), (4, 8, 2), (4, 4, 2)])
def test_a_block_projects_its_shortcut_only_where_the_shape_changes(inputs, outputs, stride):
    block = BasicBlock(inputs, outputs, stride)
    assert block(torch.zeros(2, inputs, 7, 7)).shape == (2, outputs, -(-7 // stride), -(-7 // stride))
    assert len(list(block.shortcut.parameters())) == (0 if (inputs, stride) == (outputs, 1) else 3)


def test_resnet18_on_large_images_computes_what_torchvision_computes():
    ours, theirs = ResNet18((3, 224, 224), 10), torchvision.models.resnet18(num_classes=10)
    scattered_norms(theirs)
    source, target = theirs.state_dict(), ours.state_dict()
    assert [tensor.shape for tensor in source.values()] == [tensor.shape for tensor in target.values()]
    ours.load_state_dict(dict(zip(target, source.values(), strict=True)))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours.eval()(images), theirs.eval()(images), rtol=1e-4, atol=1e-5)
        assert torch.allclose(ours.train()(images), theirs.train()(images), rtol=1e-3, atol=1e-4)
    assert all(
        torch.allclose(one, other, atol=1e-5)
        for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(("size", "stem", "last"), [(32, 32, 4), (64, 64, 8), (65, 17, 3), (224, 56, 7)])
def test_resnet18_chooses_its_stem_by_the_size_of_the_images(size, stem, last):
    with torch.device("meta"):
        network = ResNet18((3, size, size), 10)
        features = network.stem(torch.zeros(2, 3, size, size))
        assert features.shape == (2, 64, stem, stem)
        assert network.stages(features).shape == (2, 512, last, last)
