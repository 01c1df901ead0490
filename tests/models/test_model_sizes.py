"""The networks have the published numbers of parameters and of layers."""

import pytest
import torch
from torch import nn

from secateur.measuring.sparsity import layer_outputs
from tests.models.networks import NAMES, build, class_of, parameters

#: (name, input shape, classes, parameters): published, or counted from the published table of layers.
SIZES = [
    # LeCun et al. (1998), as counted by SNIP: (784 * 300 + 300) + (300 * 100 + 100) + (100 * 10 + 10)
    ("LeNet300", (1, 28, 28), 10, 266_610),
    # Han et al. (2015): (25 * 20 + 20) + (20 * 25 * 50 + 50) + (800 * 500 + 500) + (500 * 10 + 10)
    ("LeNet5", (1, 28, 28), 10, 431_080),
    # ... and 2 * (20 + 50 + 500) of the norms
    ("LeNet5_BN", (1, 28, 28), 10, 432_220),
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
    # Verdenius et al. (2020), as their program counts them
    ("VGG16_SNIPit", (3, 32, 32), 10, 50_703_946),
    ("ResNet18_SNIPit", (3, 32, 32), 10, 11_707_978),
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


@pytest.mark.parametrize(("name", "input_shape", "num_classes", "count"), SIZES)
def test_number_of_parameters_is_the_published_and_the_documented_one(name, input_shape, num_classes, count):
    with torch.device("meta"):
        assert parameters(build(name, input_shape, num_classes)) == count
    assert f"{count:,}" in class_of(name).__doc__


def test_the_vgg_of_snip_it_has_the_units_that_its_program_counts():
    with torch.device("meta"):
        network = build("VGG16_SNIPit", (3, 32, 32), 10)
    # All layers but the last: 4,736 channels, and 2 * 4,096 neurons.
    assert sum([*layer_outputs(network).values()][:-1]) == 12_928


def test_every_network_has_its_size_checked():
    assert {name for name, *_ in SIZES} == set(NAMES)


@pytest.mark.parametrize(("name", "layers"), [("ResNet20", 20), ("ResNet110", 110), ("WideResNet_16_8", 16)])
def test_networks_have_as_many_layers_as_their_name_says(name, layers):
    with torch.device("meta"):
        network = build(name, (3, 32, 32), 10)
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    # In the depth 6n + 4 of wide networks their three projections count, and the classifier does not.
    assert convolutions + ("Wide" not in name) == layers
