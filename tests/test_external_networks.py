"""Networks as other projects write them, whose weights have other names: loaded in order, they compute the same."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.models.LeNet300 import LeNet300
from secateur.models.ResNet56 import ResNet56
from secateur.runs.external_weights import load_external
from secateur.utils.errors import UserError


def lenet(names):
    """LeNet-300-100 with its layers under these names."""
    first, second, third = names
    return nn.Sequential(
        OrderedDict(
            [
                ("flat", nn.Flatten()),
                (first, nn.Linear(784, 300)),
                ("relu1", nn.ReLU()),
                (second, nn.Linear(300, 100)),
                ("relu2", nn.ReLU()),
                (third, nn.Linear(100, 10)),
            ]
        )
    )


class Block(nn.Module):
    """Two convolutions around a shortcut; `option` A pads it with zeros, B projects it."""

    def __init__(self, inputs, outputs, option):
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if self.stride == 2 and option == "B":
            projection = nn.Conv2d(inputs, outputs, 1, self.stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, features):
        hidden = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        if self.downsample is not None:
            features = self.downsample(features)
        elif self.stride == 2:
            features = functional.pad(features[:, :, ::2, ::2], (0, 0, 0, 0, 0, features.shape[1]))
        return functional.relu(hidden + features)


class ResNet(nn.Module):
    """ResNet-56 for CIFAR, with names as in torchvision, but for that of its last layer."""

    def __init__(self, option, last):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            blocks = [Block(inputs if place == 0 else outputs, outputs, option) for place in range(9)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.last = last
        self.add_module(last, nn.Linear(64, 10))

    def forward(self, images):
        features = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        return self.get_submodule(self.last)(features.mean((2, 3)))


def randomised(network):
    """A network whose every tensor of numbers is its own, norms included, in evaluation mode."""
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) else tensor.normal_(std=0.1)
    return network.eval()


@pytest.mark.parametrize("names", [("fc1", "fc2", "fc3"), ("ip1", "ip2", "ip3")])
def test_lenet_of_other_names_computes_the_same(tmp_path, names):
    theirs, ours, path = lenet(names), LeNet300((1, 28, 28), 10), tmp_path / "lenet.pth.tar"
    torch.save({"acc": 98.3, "state_dict": theirs.state_dict()}, path)
    first, second, _ = names
    assert load_external(path, ours, partial=False) == [
        f"6 of 6 tensors loaded from {path}",
        f"names differ; 6 tensors were matched in order, since all shapes agree: {first}.weight -> features.1.weight, "
        f"{first}.bias -> features.1.bias, {second}.weight -> features.3.weight and 3 more",
    ]
    images = torch.randn(4, 1, 28, 28)
    assert torch.equal(ours(images), theirs(images))


def test_a_name_that_the_network_has_at_another_place_is_no_renaming(tmp_path):
    path = tmp_path / "lenet.pth"
    torch.save(lenet(("classifier", "hidden", "output")).state_dict(), path)
    with pytest.raises(UserError, match=r"0 of 6 tensors fit; .*2 of another shape \(classifier.weight \(300, 784\)"):
        load_external(path, LeNet300((1, 28, 28), 10), partial=False)


@pytest.mark.parametrize(("option", "shortcut", "number"), [("A", "pad", 277), ("B", "project", 287)])
@pytest.mark.parametrize("last", ["linear", "fc", "classifier"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_resnet56_of_other_names_computes_the_same(tmp_path, option, shortcut, number, last, prefix):
    theirs, path = randomised(ResNet(option, last)), tmp_path / "resnet.pth.tar"
    ours = ResNet56((3, 32, 32), 10, shortcut=shortcut).eval()
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in theirs.state_dict().items()}}, path)
    lines = load_external(path, ours, partial=False)
    assert lines == [
        f"{number} of {len(ours.state_dict())} tensors loaded from {path}",
        f"names differ; {number} tensors were matched in order, since all shapes agree: {prefix}conv1.weight -> "
        f"stem.0.weight, {prefix}bn1.weight -> stem.1.weight, {prefix}bn1.bias -> stem.1.bias and {number - 3} more",
    ]
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_resnet56_of_another_kind_of_shortcut_is_refused_by_the_counts(tmp_path):
    path = tmp_path / "resnet.pth.tar"
    torch.save(ResNet("B", "fc").state_dict(), path)
    with pytest.raises(UserError, match="counts of batches aside, it holds 287 tensors, the network 277"):
        load_external(path, ResNet56((3, 32, 32), 10), partial=False)
