"""The form of a network for small images and the one for large ones: chosen by their size, or by name."""

import pytest
import torch
from torch import nn

from secateur.models.blocks.forms import TwoForms
from secateur.models.ResNet18 import ResNet18
from tests.models.networks import NAMES, build, class_of

#: One of each family that has a form for small images and one for large ones.
TWO_FORMS = ["AlexNet", "ConvMixer", "DenseNet121", "GoogLeNet", "MobileNetV2", "ResNet18", "SqueezeNet_bypass"]
TWO_FORMS += ["VGG16", "ViT_tiny"]


@pytest.mark.parametrize(("size", "stem", "last"), [(32, 32, 4), (64, 64, 8), (65, 17, 3), (224, 56, 7)])
def test_resnet18_chooses_its_stem_by_the_size_of_the_images(size, stem, last):
    with torch.device("meta"):
        network = ResNet18((3, size, size), 10)
        features = network.stem(torch.zeros(2, 3, size, size))
        assert features.shape == (2, 64, stem, stem)
        assert network.stages(features).shape == (2, 512, last, last)


def test_the_form_is_an_option_of_the_networks_that_have_two(make_settings):
    def options(command):
        settings = make_settings(f"--model {command}")
        return {one.option.flag: settings[one.option.flag] for one in settings.components["model"].declared()}

    two = [name for name in NAMES if issubclass(class_of(name), TwoForms)]
    assert len(two) == 18
    assert all(options(name) == {"form": "auto"} for name in two)
    assert options("VGG16 --form imagenet") == {"form": "imagenet"}
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
