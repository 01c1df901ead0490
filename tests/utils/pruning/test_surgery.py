"""Removing channels is what zeroing them is, on every network; and everything that belongs to a tensor follows it."""

import copy
import importlib
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from utils.errors import UserError
from utils.model_zoos import torchvision_network
from utils.pruning.masks import Masks
from utils.pruning.surgery import Surgery, replay, zero_channels
from utils.training.optimizers import build_optimizer, cut_moments

FOLDER = Path(__file__).parents[3] / "models"
ZOO = ["densenet121", "googlenet", "mobilenet_v2", "resnet18", "resnet50", "squeezenet1_0", "vgg16_bn", "vit_b_16"]
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")
NAMES += [f"torchvision:{name}" for name in ZOO]
#: Many layers to trace, or many weights.
HEAVY = {"DenseNet121", "DenseNet169", "DenseNet201", "DenseNet264", "ResNet56", "ResNet110", "ViT_tiny", "VGG19"}
HEAVY |= {"WideResNet_16_10", "WideResNet_22_8", "WideResNet_28_10", "ResNet50", "GoogLeNet"}
HEAVY |= {f"torchvision:{name}" for name in ZOO if name not in ("resnet18", "mobilenet_v2", "squeezenet1_0")}
#: These differ from DenseNet121 in depth alone, which makes them slow: they are cut once.
DEEPER = {"DenseNet169", "DenseNet201", "DenseNet264"}
#: torchvision's networks halve the image more often.
SIZES = {f"torchvision:{name}": 32 for name in ZOO}
NETWORKS = [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in NAMES]


def image_of(name):
    size = SIZES.get(name, 16)
    return torch.zeros(1, 3, size, size)


def build(name, seed=0):
    torch.manual_seed(seed)
    shape = tuple(image_of(name).shape[1:])
    if name.startswith("torchvision:"):
        return torchvision_network(name.removeprefix("torchvision:"), shape, 5)
    return getattr(importlib.import_module(f"models.{name}"), name)(shape, 5)


def scattered(network):
    """Give norms, and what starts at zero, numbers as after some training."""
    generator = torch.Generator().manual_seed(4)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and bool((tensor == tensor.flatten()[0]).all()):
            low = -0.5 if name.endswith(("bias", "running_mean")) else 0.5
            tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    return network


def random_cuts(surgery, share, seed=0):
    """Draw channels of every group that can lose some: as (root, channels)."""
    generator = torch.Generator().manual_seed(seed)
    cuts = []
    for root, group in surgery.groups.items():
        units = torch.randperm(len(group.units), generator=generator)[: int(share * len(group.units))]
        if len(units):
            cuts.append((root, sorted(group.units[units].flatten().tolist())))
    return cuts


def zeroed(network, surgery, cuts):
    """Return a copy of the network in which the channels are zero, and still there."""
    network = copy.deepcopy(network)
    for root, channels in cuts:
        zero_channels(network, surgery.groups[root], torch.tensor(channels))
    return network


@torch.no_grad()
def outputs(network, image, seed=1):
    inputs = torch.rand((2, *image.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return network.eval()(inputs)


def assert_close(found, expected, relative=1e-5):
    assert expected.isfinite().all()
    assert expected.std() > 0
    assert float((found - expected).abs().max()) <= relative * float(expected.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_left_computes_the_same_as_with_zeros_and_is_repeated_bit_for_bit(name):
    network, image = scattered(build(name)), image_of(name)
    surgery = Surgery(network, image)
    if name == "LogisticRegression":
        assert surgery.groups == {}
        return
    parameters = dict(network.named_parameters())
    history, weights = [], sum(parameter.numel() for parameter in network.parameters())
    for seed in (0,) if name in DEEPER else (0, 1):
        surgery = Surgery(network, image, surgery.groups) if seed else surgery  # the second time of what has been cut
        cuts = random_cuts(surgery, 0.4, seed)
        expected = zeroed(network, surgery, cuts)
        surgery.remove(cuts)
        history.append(cuts)
        assert_close(outputs(network, image), outputs(expected, image))
        # the optimizer, the masks and the criterion hold the parameters themselves
        assert all(parameter is parameters[key] for key, parameter in network.named_parameters())
        left = sum(parameter.numel() for parameter in network.parameters())
        assert left < weights
        weights = left
    fresh = build(name, seed=9)
    replay(fresh, image, history)
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
# looked at; tests/models/test_pruned_models.py cuts and trains them all.
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
    changed = surgery.remove(random_cuts(surgery, 0.4))
    for key, places in changed.items():
        if key in parameters:
            cut_moments(optimizer.state[parameters[key]], places)
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


class Wired(nn.Module):
    """A residual addition, a concatenation, a depthwise, a grouped and a transposed convolution, and a flattening."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.side = nn.Conv2d(2, 6, 1)
        self.depthwise = nn.Conv2d(10, 10, 3, padding=1, groups=10)
        self.up = nn.ConvTranspose2d(10, 8, 2, stride=2)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.classifier = nn.Linear(8 * 4 * 4, 3)

    def forward(self, images):
        first = self.norm(self.first(images)).relu()
        joined = torch.cat([first + self.second(first), self.side(images)], 1).relu()
        features = self.grouped(self.up(self.depthwise(joined)).relu()).relu()
        return self.classifier(functional.max_pool2d(features, 2).flatten(1))


def wired():
    torch.manual_seed(0)
    return scattered(Wired()), torch.zeros(1, 2, 4, 4)


def members(group):
    """The layers of a group, with their outputs and the root's channels of them."""
    return {name: (own.tolist(), root.tolist()) for name, own, root in group.outputs}


def test_coupled_layers_are_one_group_with_numbers_that_correspond():
    network, image = wired()
    surgery = Surgery(network, image)
    assert surgery.fixed == []
    assert surgery.groups.keys() == {"depthwise", "up", "grouped"}
    # the depthwise convolution reads the concatenation: four channels of the addition, then six of the side
    joined = surgery.groups["depthwise"]
    four, six, ten = list(range(4)), list(range(6)), list(range(10))
    assert members(joined) == {
        "depthwise": (ten, ten),
        "side": (six, [4, 5, 6, 7, 8, 9]),
        "first": (four, four),
        "second": (four, four),
    }
    assert [name for name, _, _ in joined.norms] == ["norm"]
    # one of first, second and depthwise; one of side and depthwise
    assert joined.nodes.tolist() == [3] * 4 + [2] * 6
    # of the grouped convolution, and of what it reads, one channel of each half goes with its counterpart
    for root in ("grouped", "up"):
        assert surgery.groups[root].units.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
        assert surgery.groups[root].nodes.tolist() == [2, 2, 2, 2]


def test_the_last_channel_of_each_coupled_layer_is_not_removable():
    network, image = wired()
    surgery = Surgery(network, image)
    assert surgery.groups["depthwise"].removable([9, 3, 2, 1, 0, 8, 7, 6, 5, 4]) == [9, 3, 2, 1, 8, 7, 6, 5]
    assert surgery.groups["grouped"].removable([2, 0, 3, 1]) == [2, 0, 3]


def test_a_cut_keeps_the_numbers_at_the_places_that_it_names():
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    first, second = network[0].weight.data.clone(), network[2].weight.data.clone()
    network[0].weight.grad = torch.ones(3, 2)
    changed = Surgery(network, torch.zeros(1, 2)).remove([("0", [1])])
    assert changed.keys() == {"0.weight", "0.bias", "2.weight"}
    assert changed["0.weight"].tolist() == [[0, 1], [4, 5]]
    assert changed["0.bias"].tolist() == [0, 2]
    assert changed["2.weight"].tolist() == [[0, 2], [3, 5]]
    assert network[0].weight.equal(first[[0, 2]])
    assert network[2].weight.equal(second[:, [0, 2]])
    assert network[0].weight.grad is None  # of a shape that is no more
    assert (network[0].out_features, network[2].in_features) == (2, 2)


def test_masks_and_buffers_are_cut_along():
    network, image = wired()
    masks = Masks(network)
    generator = torch.Generator().manual_seed(0)
    masks.set({name: torch.rand(weight.shape, generator=generator) < 0.5 for name, weight in masks.weights.items()})
    mean, kept = network.norm.running_mean.clone(), masks.kept["second"].clone()
    surgery = Surgery(network, image)
    masks.cut(surgery.remove([("depthwise", [2])]))
    assert network.norm.running_mean.equal(mean[[0, 1, 3]])
    assert masks.kept["second"].equal(kept[[0, 1, 3]][:, [0, 1, 3]])
    for name, weight in masks.weights.items():
        assert weight.shape == masks.kept[name].shape
        assert not weight[~masks.kept[name]].any()


def cut_all(network, image):
    """Remove all but the last channels of every layer, and check that it is what zeroing them is."""
    surgery = Surgery(network, image)
    cuts = [(root, group.units[group.removable(range(len(group.units)))]) for root, group in surgery.groups.items()]
    cuts = [(root, channels.flatten().tolist()) for root, channels in cuts if len(channels)]
    expected = zeroed(network, surgery, cuts)
    surgery.remove(cuts)
    assert_close(outputs(network, image), outputs(expected, image))
    return [root for root, _ in cuts]


def test_all_but_the_last_channels_of_every_layer_can_go():
    network, image = wired()
    assert set(cut_all(network, image)) == {"depthwise", "up", "grouped"}
    assert [network.first.out_channels, network.side.out_channels, network.depthwise.groups] == [1, 1, 2]
    assert [network.up.out_channels, network.grouped.out_channels, network.grouped.groups] == [2, 2, 2]
    # with one channel in each group the grouped convolution has become a depthwise one, which can lose one more
    assert cut_all(network, image) == ["grouped"]
    assert [network.up.out_channels, network.grouped.out_channels, network.grouped.groups] == [1, 1, 1]
    assert cut_all(network, image) == []


class ByNumber(nn.Module):
    """Picks channels by their number, which tracing does not see."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = self.second(self.first(inputs).relu()[:, [3, 2, 1, 0]]).relu()
        return self.third(hidden)


def test_channels_that_only_seem_to_be_removable_stay():
    surgery = Surgery(ByNumber(), torch.zeros(1, 4))
    assert list(surgery.groups) == ["second"]
    assert surgery.fixed == ["first"]


def test_a_scale_of_zero_hides_no_mistake():
    network = ByNumber()
    nn.init.zeros_(network.third.weight)  # as the heads of some networks start: all outputs are equal
    assert list(Surgery(network, torch.zeros(1, 4)).groups) == ["second"]


def test_tracing_leaves_the_network_and_the_random_numbers_alone():
    network, image = wired()
    network.train()
    state, random = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    Surgery(network, image)
    assert all(tensor.equal(state[name]) for name, tensor in network.state_dict().items())
    assert torch.get_rng_state().equal(random)
    assert all(module.training for module in network.modules())


def test_a_norm_over_the_channels_holds_them():
    network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    surgery = Surgery(network, torch.zeros(1, 3))
    assert list(surgery.groups) == ["2"]
    assert surgery.fixed == ["0"]


def test_a_network_that_cannot_be_traced_is_told_in_one_line():
    network = torchvision_network("shufflenet_v2_x1_0", (3, 32, 32), 5)
    with pytest.raises(UserError, match="torch-pruning cannot trace it") as error:
        Surgery(network, torch.zeros(1, 3, 32, 32))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "cut",
    [
        ("nowhere", [0]),
        ("first", [4]),
        ("first", [-1]),
        ("first", [1, 1]),
        ("up", list(range(8))),
        ("norm", [0]),
        ("", [0]),
    ],
)
def test_cuts_that_do_not_fit_are_refused(cut):
    network, image = wired()
    with pytest.raises(ValueError, match="Error"):
        replay(network, image, [[cut]])
