"""The networks: published sizes, every shape of image, repeatable initialisation, the papers' architecture."""

import argparse
import ast
import importlib
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from models.blocks.cifar_residual import PaddedShortcut
from models.blocks.dense import DenseLayer, transition
from models.blocks.forms import TwoForms
from models.blocks.residual import BasicBlock, BottleneckBlock
from models.blocks.squeeze import Fire
from models.blocks.wide_residual import PreActivationBlock
from models.GoogLeNet import GoogLeNet, Inception
from models.LeNet5 import LeNet5
from models.LeNet300 import LeNet300
from models.LogisticRegression import LogisticRegression
from models.MLP5 import MLP5
from models.ResNet18 import ResNet18
from models.ResNet20 import ResNet20
from models.VGG16 import VGG16
from models.ViT_tiny import ViT_tiny
from utils.component_source import ComponentSource
from utils.torchvision_import import torchvision

FOLDER = Path(__file__).parents[2] / "models"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 40, 40), (2, 20, 36)]
#: Those that are quick enough to compute on all of them.
LIGHT = {"AlexNet", "AlexNet_s", "Conv6", "ConvOnly", "LeNet300", "LeNet5", "LogisticRegression", "MLP5", "ResNet18"}
LIGHT |= {"MobileNetV2", "ResNet20", "SqueezeNet_bypass", "ViT_tiny"}
#: One of each family that has a form for small images and one for large ones.
TWO_FORMS = ["AlexNet", "ConvMixer", "DenseNet121", "GoogLeNet", "MobileNetV2", "ResNet18", "SqueezeNet_bypass"]
TWO_FORMS += ["VGG16", "ViT_tiny"]
#: (name, input shape, classes, parameters): published, or counted from the published table of layers.
SIZES = [
    # LeCun et al. (1998), as counted by SNIP: (784 * 300 + 300) + (300 * 100 + 100) + (100 * 10 + 10)
    ("LeNet300", (1, 28, 28), 10, 266_610),
    # Han et al. (2015): (25 * 20 + 20) + (20 * 25 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
    ("LeNet5", (1, 28, 28), 10, 431_080),
    # Frankle & Carbin (2019): 1,145,408 in the convolutions, 1,048,832 + 65,792 + 2,570 in the linear layers
    ("Conv6", (3, 32, 32), 10, 2_262_602),
    # 784 * 10 + 10
    ("LogisticRegression", (1, 28, 28), 10, 7_850),
    # 784 * 256 + 3 * 256 * 256 + 256 * 10 weights, 4 * 256 + 10 biases, 2 * 4 * 256 of the norms
    ("MLP5", (1, 28, 28), 10, 402_954),
    # He et al. (2016): on ImageNet as torchvision counts them
    ("ResNet18", (3, 32, 32), 10, 11_173_962),
    ("ResNet18", (3, 224, 224), 1000, 11_689_512),
    ("ResNet34", (3, 32, 32), 10, 21_282_122),
    ("ResNet34", (3, 224, 224), 1000, 21_797_672),
    ("ResNet50", (3, 32, 32), 10, 23_520_842),
    ("ResNet50", (3, 224, 224), 1000, 25_557_032),
    # He et al. (2016), table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million
    ("ResNet20", (3, 32, 32), 10, 269_722),
    ("ResNet32", (3, 32, 32), 10, 464_154),
    ("ResNet44", (3, 32, 32), 10, 658_586),
    ("ResNet56", (3, 32, 32), 10, 853_018),
    ("ResNet110", (3, 32, 32), 10, 1_727_962),
    # Zagoruyko & Komodakis (2016), table 4: 11.0, 17.1, 17.2, 36.5 and 8.9 million
    ("WideResNet_16_8", (3, 32, 32), 10, 10_961_370),
    ("WideResNet_16_10", (3, 32, 32), 10, 17_116_634),
    ("WideResNet_22_8", (3, 32, 32), 10, 17_158_106),
    ("WideResNet_28_10", (3, 32, 32), 10, 36_479_194),
    ("WideResNet_40_4", (3, 32, 32), 10, 8_949_210),
    # Simonyan & Zisserman (2015), with norms: on ImageNet as torchvision counts them
    ("VGG11", (3, 32, 32), 10, 9_231_114),
    ("VGG11", (3, 224, 224), 1000, 132_868_840),
    ("VGG13", (3, 32, 32), 10, 9_416_010),
    ("VGG13", (3, 224, 224), 1000, 133_053_736),
    ("VGG16", (3, 32, 32), 10, 14_728_266),
    ("VGG16", (3, 224, 224), 1000, 138_365_992),
    ("VGG19", (3, 32, 32), 10, 20_040_522),
    ("VGG19", (3, 224, 224), 1000, 143_678_248),
    # Lee et al. (2019), table 2, without the norms: 10.5, 15.2, 15.0, 5.1 and 8.5 million
    ("VGG_C", (3, 32, 32), 10, 10_526_538 + 10_496),
    ("VGG_D", (3, 32, 32), 10, 15_245_130 + 10_496),
    ("VGG_like", (3, 32, 32), 10, 14_982_474 + 9_472),
    ("AlexNet_s", (3, 32, 32), 10, 5_070_218 + 6_848),
    ("AlexNet_b", (3, 32, 32), 10, 8_490_378 + 10_944),
    # On ImageNet as torchvision counts them
    ("AlexNet", (3, 32, 32), 10, 2_472_266),
    ("AlexNet", (3, 224, 224), 1000, 61_100_840),
    ("SqueezeNet_vanilla", (3, 32, 32), 10, 727_626),
    ("SqueezeNet_vanilla", (3, 224, 224), 1000, 1_248_424),
    ("SqueezeNet_bypass", (3, 32, 32), 10, 727_626),
    ("SqueezeNet_bypass", (3, 224, 224), 1000, 1_248_424),
    ("MobileNetV2", (3, 32, 32), 10, 2_236_682),
    ("MobileNetV2", (3, 224, 224), 1000, 3_504_872),
    ("DenseNet121", (3, 32, 32), 10, 6_956_426),
    ("DenseNet121", (3, 224, 224), 1000, 7_978_856),
    ("DenseNet169", (3, 32, 32), 10, 12_493_450),
    ("DenseNet169", (3, 224, 224), 1000, 14_149_480),
    ("DenseNet201", (3, 32, 32), 10, 18_104_458),
    ("DenseNet201", (3, 224, 224), 1000, 20_013_928),
    ("DenseNet264", (3, 32, 32), 10, 30_667_914),
    ("DenseNet264", (3, 224, 224), 1000, 33_337_704),
    # Caffe's network has 6,998,552 without the auxiliary classifiers, of which 7,280 are biases of convolutions
    ("GoogLeNet", (3, 32, 32), 10, 5_983_402),
    ("GoogLeNet", (3, 224, 224), 1000, 6_998_552 + 7_280),
    # Springenberg et al. (2015): 1.4 million
    ("ConvOnly", (3, 32, 32), 10, 1_369_738),
    # Trockman & Kolter (2022): 0.7 and 21.1 million
    ("ConvMixer", (3, 32, 32), 10, 706_570),
    ("ConvMixer", (3, 224, 224), 1000, 21_110_248),
    # Touvron et al. (2021): 5.7 million
    ("ViT_tiny", (3, 32, 32), 10, 5_362_762),
    ("ViT_tiny", (3, 224, 224), 1000, 5_717_416),
    # 784 * 1000 + 1000 * 1000 + 1000 * 500 + 500 * 200 + 200 * 10 weights, 2,710 biases
    ("MLP_large", (1, 28, 28), 10, 2_388_710),
]


def class_of(name):
    return getattr(importlib.import_module(f"models.{name}"), name)


def build(name, input_shape, num_classes, seed=0, **options):
    torch.manual_seed(seed)
    return class_of(name)(input_shape, num_classes, **options)


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


@pytest.mark.parametrize(("name", "input_shape", "num_classes", "count"), SIZES)
def test_number_of_parameters_is_the_published_and_the_documented_one(name, input_shape, num_classes, count):
    with torch.device("meta"):
        assert parameters(build(name, input_shape, num_classes)) == count
    assert f"{count:,}" in class_of(name).__doc__


def test_every_network_has_its_size_checked():
    assert {name for name, *_ in SIZES} == set(NAMES)


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


@pytest.mark.parametrize("name", ["ResNet18", "ResNet20", "WideResNet_16_8", "VGG11"])
def test_networks_of_relus_start_from_the_initialisation_of_he(name):
    for layer in build(name, (3, 32, 32), 10).modules():
        if isinstance(layer, nn.Conv2d):
            expected = math.sqrt(2 / (layer.out_channels * layer.kernel_size[0] ** 2))
            tolerance = 5 / math.sqrt(2 * layer.weight.numel())
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=tolerance)
            assert layer.bias is None or not layer.bias.any()


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


@pytest.mark.parametrize(
    ("name", "theirs", "size"),
    [
        ("ResNet18", "resnet18", 224),
        ("ResNet50", "resnet50", 96),
        pytest.param("VGG11", "vgg11_bn", 96, marks=pytest.mark.slow),
        pytest.param("AlexNet", "alexnet", 96, marks=pytest.mark.slow),
        ("SqueezeNet_vanilla", "squeezenet1_0", 96),
        ("MobileNetV2", "mobilenet_v2", 96),
        ("DenseNet121", "densenet121", 96),
    ],
)
def test_networks_on_large_images_compute_what_torchvision_computes(name, theirs, size):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(theirs, weights=None, num_classes=10)
        ours = build(name, (3, size, size), 10)
    theirs.to_empty(device="cpu")
    for module in theirs.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    scattered_norms(theirs)
    source, target = theirs.state_dict(), ours.state_dict()
    assert [tensor.shape for tensor in source.values()] == [tensor.shape for tensor in target.values()]
    # The weights are shared; the statistics, which training changes, are not.
    tensors = [tensor.clone() if "running" in key or "tracked" in key else tensor for key, tensor in source.items()]
    ours.load_state_dict(dict(zip(target, tensors, strict=True)), assign=True)
    for module in [*ours.modules(), *theirs.modules()]:
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
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


def options(name, *argv):
    """Return the options of a network as the command line gives them."""
    parser = argparse.ArgumentParser()
    for _, declare in ComponentSource(FOLDER / f"{name}.py", name).declarations():
        declare(parser)
    return vars(parser.parse_args(argv))


def test_the_form_is_an_option_of_the_networks_that_have_two():
    two = [name for name in NAMES if issubclass(class_of(name), TwoForms)]
    assert len(two) == 18
    assert all(options(name) == {"form": "auto"} for name in two)
    assert options("VGG16", "--form", "imagenet") == {"form": "imagenet"}
    assert options("ResNet20") == {"shortcut": "pad"}


@pytest.mark.parametrize("name", TWO_FORMS)
def test_the_form_can_be_chosen_whatever_the_size_of_the_images(name):
    def layers(size, form):
        # Positions of a transformer depend on the size, and are no module's.
        return [str(module) for module in build(name, (3, size, size), 10, form=form).modules()]

    with torch.device("meta"):
        small, large = layers(96, "cifar"), layers(64, "imagenet")
        assert layers(64, "auto") == small
        assert layers(65, "auto") == large
        assert small != large
        for size, form in ((96, "cifar"), (64, "imagenet")):
            assert build(name, (3, size, size), 10, form=form)(torch.zeros(2, 3, size, size)).shape == (2, 10)
        with pytest.raises(ValueError, match="no form 'tiny'"):
            build(name, (3, 32, 32), 10, form="tiny")


@pytest.mark.parametrize(("name", "size"), [("VGG11", 7), ("AlexNet", 6)])
def test_images_of_224_pixels_give_maps_that_need_no_averaging(name, size):
    with torch.device("meta"):
        network = build(name, (3, 224, 224), 10)
        assert network.features(torch.zeros(2, 3, 224, 224)).shape[2:] == (size, size)
        assert str(build(name, (3, 225, 224), 10).classifier[0]) == f"AdaptiveAvgPool2d(output_size={size})"
    assert isinstance(network.classifier[0], nn.Identity)


def test_a_padded_shortcut_takes_every_second_pixel_and_appends_zeros():
    features = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert PaddedShortcut(2, extra=1)(features).tolist() == [
        [[[0, 2], [8, 10]], [[12, 14], [20, 22]], [[0, 0], [0, 0]]],
    ]


def test_shortcuts_of_resnets_for_cifar_have_no_parameters_unless_asked_for():
    # Projections of 16 * 32 and 32 * 64 weights, and norms of 2 * 32 and 2 * 64.
    assert parameters(ResNet20((3, 32, 32), 10, shortcut="project")) - parameters(ResNet20((3, 32, 32), 10)) == 2752


@pytest.mark.parametrize(("name", "layers"), [("ResNet20", 20), ("ResNet110", 110), ("WideResNet_16_8", 16)])
def test_networks_have_as_many_layers_as_their_name_says(name, layers):
    with torch.device("meta"):
        network = build(name, (3, 32, 32), 10)
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    # In the depth 6n + 4 of wide networks their three projections count, and the classifier does not.
    assert convolutions + ("Wide" not in name) == layers


def test_a_bottleneck_whose_last_norm_is_zero_passes_its_input_on():
    block = BottleneckBlock(8, 2, stride=1)
    nn.init.zeros_(block.bn3.weight)
    features = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features.relu())
    assert [layer.stride for layer in BottleneckBlock(8, 4, stride=2).modules() if isinstance(layer, nn.Conv2d)] == [
        (1, 1),
        (2, 2),
        (1, 1),
        (2, 2),
    ]


def test_a_block_of_wide_networks_adds_to_its_input_as_it_is():
    block = PreActivationBlock(4, 4, stride=1)
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    assert block(features).equal(features)


def test_a_block_of_wide_networks_projects_the_activated_input():
    block = PreActivationBlock(2, 3, stride=2)
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = nn.functional.conv2d(block.bn1(features).relu(), block.shortcut.weight, stride=2)
    assert torch.allclose(block(features), expected)


def test_every_convolution_of_a_vgg_sees_more_than_nothing_on_the_smallest_images():
    features = VGG16((1, 8, 8), 10).features
    sizes = []
    maps = torch.zeros(2, 1, 8, 8)
    for layer in features:
        maps = layer(maps)
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ReLU):
            sizes.append(maps.shape[-1])
    assert sizes == [4, 2, 1, 1, 1]


def test_a_bypassed_fire_module_adds_its_input():
    plain, bypassed = Fire(8, 2, 4, bypass=False), Fire(8, 2, 4, bypass=True)
    bypassed.load_state_dict(plain.state_dict())
    features = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(1))
    assert bypassed(features).equal(plain(features) + features)
    assert (plain(features) >= 0).all()


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 96, 96)])
def test_every_second_fire_module_is_bypassed(shape):
    for name, bypassed in (("SqueezeNet_vanilla", [False] * 8), ("SqueezeNet_bypass", [False, True] * 4)):
        with torch.device("meta"):
            network = build(name, shape, 10)
        assert [module.bypass for module in network.modules() if isinstance(module, Fire)] == bypassed


def test_inception_has_the_channels_of_the_paper():
    with torch.device("meta"):
        modules = [module for module in GoogLeNet((3, 32, 32), 10).modules() if isinstance(module, Inception)]
    # The column "output size" of table 1.
    assert [module.outputs for module in modules] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    block = Inception(3, 1, 2, 3, 4, 5, 6)
    assert block(torch.zeros(2, 3, 1, 1)).shape == (2, 15, 1, 1)
    assert [layer.kernel_size[0] for layer in block.modules() if isinstance(layer, nn.Conv2d)] == [1, 1, 3, 1, 5, 1]


def test_googlenet_differs_from_torchvisions_by_the_size_of_its_largest_kernels():
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(num_classes=1000, aux_logits=False, init_weights=False)
        ours = GoogLeNet((3, 224, 224), 1000)
    larger = sum(
        (25 - 9) * layer.in_channels * layer.out_channels
        for layer in ours.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (5, 5)
    )
    assert parameters(ours) - larger == parameters(theirs)


def test_a_dense_layer_hands_on_what_came_in():
    features = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(1))
    output = DenseLayer(6, growth=4)(features)
    assert output.shape == (2, 10, 5, 5)
    assert output[:, :6].equal(features)


@pytest.mark.parametrize(("size", "halved"), [(8, 4), (7, 4), (1, 1)])
def test_a_transition_halves_a_map_that_can_be_halved(size, halved):
    assert transition(6, 3)(torch.zeros(2, 6, size, size)).shape == (2, 3, halved, halved)


def test_vit_computes_what_torchvision_computes():
    torch.manual_seed(0)
    theirs = torchvision.models.VisionTransformer(
        image_size=32, patch_size=4, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768, num_classes=10
    )
    nn.init.normal_(theirs.heads.head.weight)
    ours = ViT_tiny((3, 32, 32), 10)
    source = dict(theirs.named_parameters())
    # Our positions stand before the patches.
    names = ["class_token", "encoder.pos_embedding"]
    names += [name for name in source if name not in names]
    with torch.no_grad():
        for name, parameter in zip(names, ours.parameters(), strict=True):
            assert parameter.shape == source[name].shape
            parameter.copy_(source[name])
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(ours.eval()(images), theirs.eval()(images), rtol=1e-4, atol=1e-4)


def test_conv_only_has_convolutions_only():
    kinds = {type(module) for module in build("ConvOnly", (3, 32, 32), 10).modules() if list(module.parameters(False))}
    assert kinds == {nn.Conv2d}
