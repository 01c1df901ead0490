"""The networks: every shape of image, repeatable initialisation, and what each of them is made of."""

import ast
import math

import pytest
import torch
from torch import nn

from secateur.models.LeNet5 import LeNet5
from secateur.models.LeNet300 import LeNet300
from secateur.models.LogisticRegression import LogisticRegression
from secateur.models.MLP5 import MLP5
from secateur.models.ResNet18_SNIPit import LeakyBlock, ResNet18_SNIPit
from secateur.models.VGG16 import VGG16
from secateur.models.VGG16_SNIPit import VGG16_SNIPit
from tests.models.networks import FOLDER, NAMES, build, make_narrow

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 40, 40), (2, 20, 36)]
#: Those that are quick enough to compute on all of them.
LIGHT = {"AlexNet", "AlexNet_s", "Conv6", "ConvOnly", "LeNet300", "LeNet5", "LogisticRegression", "MLP5", "ResNet18"}
LIGHT |= {"LeNet5_BN", "MobileNetV2", "ResNet20", "SqueezeNet_bypass", "ViT_tiny"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "DenseNet" in name else []) for name in NAMES]
)
def test_every_size_of_image_gives_one_logit_a_class(name):
    with torch.device("meta"):
        for shape in [(1, 8, 8), (2, 20, 36), (3, 32, 32), (1, 65, 70), (3, 224, 224)]:
            assert build(name, shape, 7).eval()(torch.zeros(2, *shape)).shape == (2, 7), shape


@pytest.mark.parametrize(
    ("name", "input_shape"),
    [(name, shape) for name in NAMES for shape in (SHAPES if name in LIGHT else SHAPES[:1])],
    ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value)),
)
def test_any_image_gives_one_finite_logit_a_class_and_finite_gradients(monkeypatch, name, input_shape):
    make_narrow(monkeypatch)
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
def test_initialisation_follows_the_seed(monkeypatch, name):
    make_narrow(monkeypatch)
    states = [build(name, (3, 8, 8), 4, seed).state_dict() for seed in (5, 5, 6)]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][key].equal(states[1][key]) for key in states[0])
    assert any(not states[0][key].equal(states[2][key]) for key in states[0])


@pytest.mark.parametrize("path", list(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_networks_know_nothing_of_pruning(path):
    tree = ast.parse(path.read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith(("secateur.pruning", "secateur.criterions", "criterions"))]


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


@pytest.mark.parametrize("name", ["ResNet18", "ResNet20", "WideResNet_16_8", "VGG11"])
def test_networks_of_relus_start_from_the_initialisation_of_he(name):
    for layer in build(name, (3, 32, 32), 10).modules():
        if isinstance(layer, nn.Conv2d):
            expected = math.sqrt(2 / (layer.out_channels * layer.kernel_size[0] ** 2))
            tolerance = 5 / math.sqrt(2 * layer.weight.numel())
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=tolerance)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("name", ["VGG16_SNIPit", "ResNet18_SNIPit"])
def test_networks_of_snip_it_start_orthogonal_with_the_gain_of_their_leaky_relus(monkeypatch, name):
    make_narrow(monkeypatch)
    layers = [layer for layer in build(name, (3, 32, 32), 10).modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers:
        rows = layer.weight.detach().flatten(1)
        rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
        # gain^2 = 2 / (1 + 0.05^2)
        expected = 1.0 if layer is layers[-1] else 2 / 1.0025
        torch.testing.assert_close(rows @ rows.T, expected * torch.eye(len(rows)), rtol=0, atol=1e-5)
        # torch's own: no bias is larger than 1 / sqrt(fan in)
        assert layer.bias is None or 0 < layer.bias.abs().max() <= layer.weight[0].numel() ** -0.5


@pytest.mark.parametrize("kind", [VGG16_SNIPit, ResNet18_SNIPit])
def test_networks_of_snip_it_have_leaky_relus_norms_and_dropout_throughout(kind):
    with torch.device("meta"):
        network = kind((3, 32, 32), 10)
    modules = list(network.modules())
    assert {module.negative_slope for module in modules if isinstance(module, nn.LeakyReLU)} == {0.05}
    assert {module.p for module in modules if isinstance(module, nn.Dropout)} == {0.3}
    assert not any(isinstance(module, nn.ReLU) for module in modules)
    layers = [module for module in modules if isinstance(module, nn.Linear | nn.Conv2d)]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == len(layers) - 1
    linear = [module for module in network.classifier if isinstance(module, nn.Linear)]
    dropout = [module for module in network.classifier if isinstance(module, nn.Dropout)]
    assert len(dropout) == len(linear)


def test_maps_of_the_networks_of_snip_it_on_cifar():
    with torch.device("meta"):
        images = torch.zeros(2, 3, 32, 32)
        vgg, resnet = VGG16_SNIPit((3, 32, 32), 10), ResNet18_SNIPit((3, 32, 32), 10)
        assert vgg.features(images).shape == (2, 1024, 2, 2)
        assert isinstance(vgg.pool[0], nn.Identity)
        assert resnet.stem(images).shape == (2, 64, 8, 8)
        assert resnet.stages(resnet.stem(images)).shape == (2, 512, 1, 1)


def test_a_block_of_snip_it_leaks_behind_the_addition():
    block = LeakyBlock(4, 4)
    nn.init.zeros_(block.bn2.weight)
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(nn.functional.leaky_relu(features, 0.05))


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


def test_every_convolution_of_a_vgg_sees_more_than_nothing_on_the_smallest_images():
    features = VGG16((1, 8, 8), 10).features
    sizes = []
    maps = torch.zeros(2, 1, 8, 8)
    for layer in features:
        maps = layer(maps)
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
            sizes.append(maps.shape[-1])
    assert sizes == [4, 2, 1, 1, 1]


def test_conv_only_has_convolutions_only():
    kinds = {type(module) for module in build("ConvOnly", (3, 32, 32), 10).modules() if list(module.parameters(False))}
    assert kinds == {nn.Conv2d}
