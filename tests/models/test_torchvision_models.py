"""The networks compute what torchvision's compute, of the same weights."""

import pytest
import torch
from torch import nn

from secateur.models.GoogLeNet import GoogLeNet
from secateur.models.ViT_tiny import ViT_tiny
from secateur.utils.torchvision_import import torchvision
from tests.models.networks import build, parameters


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


def test_positions_are_resized_for_images_of_another_size():
    network = ViT_tiny((3, 16, 16), 10).eval()
    row = torch.tensor([0.0, 4.0, 8.0, 12.0])  # from left to right, of a grid of 4 x 4
    with torch.no_grad():
        network.positions[0, 0] = 5
        network.positions[0, 1:] = row.repeat(4)[:, None]
        assert network._positions(torch.Size([4, 4])) is network.positions
        smaller = network._positions(torch.Size([2, 2]))[0]
        assert network(torch.rand(2, 3, 8, 8)).shape == (2, 10)
    # triangles over what they shrink: weights 3, 3, 1 of 7 at the border
    left, right = (0 * 3 + 4 * 3 + 8) / 7, (4 + 8 * 3 + 12 * 3) / 7
    assert smaller[:, 0].tolist() == pytest.approx([5, left, right, left, right])
    assert smaller.shape == (5, 192)
