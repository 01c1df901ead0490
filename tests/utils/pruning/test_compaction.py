"""Compaction: what goes, what must stay, and always the same function; small cases are worked by hand."""

import importlib
import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

import main
from utils.pruning.compaction import compact, difference
from utils.pruning.masks import Masks
from utils.pruning.surgery import replay


def compacted(network, *shape):
    """Compact a network whose zero weights are its masks."""
    masks = Masks(network.eval())
    masks.set({name: weight != 0 for name, weight in masks.weights.items()})
    return compact(network, torch.zeros(1, *shape), masks)


def mlp(first, first_bias, second, second_bias):
    network = nn.Sequential(nn.Linear(2, len(first)), nn.ReLU(), nn.Linear(len(first), len(second)))
    network[0].weight.data, network[0].bias.data = torch.tensor(first), torch.tensor(first_bias)
    network[2].weight.data, network[2].bias.data = torch.tensor(second), torch.tensor(second_bias)
    return network


def convolutions(padding, padding_mode="zeros", bias=0.7, image_bias=True):
    """Two convolutions; the first channel of the one has no weights, and is `bias` after the ReLU."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 2, 3, padding=padding, padding_mode=padding_mode, bias=image_bias),
        nn.Flatten(),
        nn.Linear(2 * (2 + 2 * padding) ** 2, 2),
    )
    network[0].weight.data[0] = 0
    network[0].bias.data[0] = bias
    return network


def same(network, smaller, *shape):
    """Whether both compute the same, up to 1e-5 of the largest output, and not one constant."""
    images = torch.randn(8, *shape)
    with torch.no_grad():
        expected, found = network.eval()(images), smaller.eval()(images)
    assert expected.std(0).max() > 1e-4 * expected.abs().max()
    return (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_constant_of_a_dead_neuron_goes_to_the_next_bias():
    network = mlp([[0.0, 0.0], [1.0, 2.0]], [0.7, 0.1], [[3.0, 4.0], [-5.0, 6.0]], [0.5, 0.25])
    result = compacted(network, 2)
    assert result.cuts == [("0", [0])]
    assert result.nodes == 1
    assert result.network[0].weight.tolist() == [[1.0, 2.0]]
    assert result.network[2].weight.tolist() == [[4.0], [6.0]]
    # 0.5 + 3 * 0.7 and 0.25 - 5 * 0.7
    assert result.network[2].bias.tolist() == pytest.approx([2.6, -3.25])
    assert network[2].bias.tolist() == [0.5, 0.25]


def test_a_dead_neuron_below_zero_adds_nothing_after_relu():
    result = compacted(mlp([[0.0, 0.0], [1.0, 2.0]], [-0.7, 0.1], [[3.0, 4.0]], [0.5]), 2)
    assert result.network[2].bias.tolist() == [0.5]


def test_a_neuron_that_nobody_reads_goes():
    result = compacted(mlp([[1.0, 3.0], [1.0, 2.0]], [0.7, 0.1], [[0.0, 4.0]], [0.5]), 2)
    assert result.cuts == [("0", [0])]
    assert result.network[2].bias.tolist() == [0.5]


def test_a_network_that_needs_every_channel_is_left_alone():
    assert compacted(mlp([[1.0, 0.0], [0.0, 2.0]], [0.7, 0.1], [[1.0, 4.0]], [0.5]), 2) is None


def chain(*weights):
    layers = []
    for weight in weights:
        weight = torch.tensor(weight)
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data = weight
        nn.init.constant_(layer.bias, 0.5)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_death_spreads_forwards_along_a_chain():
    # The first neuron is 0.5; the second layer's first neuron reads it alone: 0.5 * 2 + 0.5 = 1.5.
    network = chain([[0.0], [1.0]], [[2.0, 0.0], [0.0, 1.0]], [[3.0, 1.0]])
    result = compacted(network, 1)
    assert sorted(result.cuts) == [("0", [0]), ("2", [0])]
    assert result.network[4].bias.item() == 0.5 + 3 * 1.5


def test_death_spreads_backwards_along_a_chain():
    # The second layer's first neuron is not read, and the first layer's first neuron is read by that alone.
    network = chain([[1.0], [1.0]], [[2.0, 0.0], [0.0, 1.0]], [[0.0, 1.0]])
    result = compacted(network, 1)
    assert sorted(result.cuts) == [("0", [0]), ("2", [0])]
    assert same(network, result.network, 1)


def test_a_layer_that_has_collapsed_keeps_one_neuron_that_nobody_reads():
    network = chain([[1.0], [1.0], [1.0]], [[0.0, 0.0, 0.0]] * 2, [[3.0, 1.0]])
    result = compacted(network, 1)
    assert [tuple(layer.weight.shape) for layer in result.network[::2]] == [(1, 1), (1, 1), (1, 1)]
    assert result.network(torch.randn(5, 1)).flatten().tolist() == [2.5] * 5  # 0.5 * (3 + 1) + 0.5
    assert result.network[4].weight.item() == 0
    assert not result.masks.kept["4"].any()


class Joined(nn.Module):
    """A depthwise convolution behind the concatenation of two layers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        self.depthwise, self.classifier = nn.Conv2d(4, 4, 1, groups=4), nn.Linear(4, 2)

    def forward(self, images):
        joined = torch.cat([self.left(images), self.right(images)], 1).relu()
        return self.classifier(self.depthwise(joined).flatten(1))


def test_of_layers_that_are_joined_too_each_keeps_a_channel_that_nobody_reads():
    network = Joined()
    with torch.no_grad():
        network.classifier.weight[:, :2] = 0  # the channels of the left one
    result = compacted(network, 1, 1, 1)
    smaller = result.network
    assert [smaller.left.out_channels, smaller.right.out_channels, smaller.depthwise.out_channels] == [1, 2, 3]
    assert same(network, smaller, 1, 1, 1)


def test_masks_are_cut_along_and_zeros_stay_zero():
    network = mlp([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], [0.7, 0.1, 0.1], [[3.0, 0.0, 4.0], [1.0, 1.0, 0.0]], [0.5, 0.0])
    result = compacted(network, 2)
    assert result.masks.kept["0"].tolist() == [[True, False], [False, True]]
    assert result.masks.kept["2"].tolist() == [[False, True], [True, False]]
    with torch.no_grad():
        result.network[2].weight += 1
    result.masks.apply_to_weights()
    assert result.network[2].weight.tolist() == [[0.0, 5.0], [2.0, 0.0]]


def test_a_constant_that_a_convolution_reads_across_a_border_of_zeros_stays():
    assert compacted(convolutions(padding=1), 1, 4, 4) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": 0},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "replicate"},
        {"padding": 1, "bias": -0.7},
    ],
)
def test_a_constant_that_counts_the_same_everywhere_goes(arguments):
    network = convolutions(**arguments)
    result = compacted(network, 1, 4, 4)
    assert result.cuts == [("0", [0])]
    assert same(network, result.network, 1, 4, 4)


def test_a_constant_that_neither_bias_nor_norm_can_take_up_stays():
    assert compacted(convolutions(padding=0, image_bias=False), 1, 4, 4) is None


class Norms(nn.Module):
    """A dead channel, constant through its norm, read by a convolution without bias whose norm may have a rival."""

    def __init__(self, rival):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)
        self.second, self.follower = nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3)
        self.last = nn.Linear(3, 2)
        self.rival = rival
        for norm in (self.norm, self.follower):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        # (0 - 0.4) / sqrt(3.99999 + 1e-5) * 2 + 1 = 0.6
        self.first.weight.data[0] = 0
        self.norm.running_mean[0], self.norm.running_var[0] = 0.4, 4 - 1e-5
        self.norm.weight.data[0], self.norm.bias.data[0] = 2, 1

    def forward(self, images):
        hidden = self.second(torch.relu(self.norm(self.first(images))))
        normed = self.follower(hidden)
        return self.last((normed + hidden if self.rival else normed).mean((2, 3)))


def test_the_norm_behind_a_layer_without_bias_takes_the_constant_from_its_mean():
    network = Norms(rival=False)
    mean = network.follower.running_mean - 0.6 * network.second.weight[:, 0].sum((1, 2))
    result = compacted(network, 1, 5, 5)
    assert result.cuts == [("first", [0])]
    assert result.network.follower.running_mean.tolist() == pytest.approx(mean.tolist(), abs=1e-6)
    assert same(network, result.network, 1, 5, 5)


def test_a_norm_that_is_not_alone_in_reading_a_layer_does_not():
    assert compacted(Norms(rival=True), 1, 5, 5) is None


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.branch, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, images):
        hidden = torch.relu(self.stem(images))
        return self.last(hidden + self.branch(hidden))


def test_channels_that_are_added_go_if_they_are_dead_in_all_that_add_them():
    network = Residual()
    with torch.no_grad():
        network.stem.weight[:2] = 0
        network.branch.weight[1:3] = 0  # channel 1 is dead in both, 0 and 2 in one
    result = compacted(network, 3)
    assert result.cuts[0][1] == [1]
    assert result.nodes == 2
    assert same(network, result.network, 3)


def test_a_loop_of_channels_that_only_read_each_other_goes():
    network = Residual()
    with torch.no_grad():
        network.last.weight[:, 1] = 0
        network.branch.weight[[0, 2, 3], 1] = 0  # channel 1 is read by itself alone
    assert compacted(network, 3).cuts[0][1] == [1]


class Comparing(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, images):
        hidden = self.first(images)
        return self.last(torch.where(hidden > 0, hidden, torch.zeros_like(hidden)))


def test_behind_an_activation_written_as_a_comparison_nothing_is_taken_for_constant():
    network = Comparing()
    nn.init.zeros_(network.first.weight[0].data)
    assert compacted(network, 2) is None
    nn.init.zeros_(network.last.weight[:, 1].data)
    result = compacted(network, 2)
    assert result.cuts == [("first", [1])]
    assert same(network, result.network, 2)


def test_a_constant_that_a_layer_reads_in_one_of_two_uses_stays():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, images):
            return self.last(self.again(torch.relu(self.again(torch.relu(self.first(images))))))

    network = Twice()
    nn.init.zeros_(network.first.weight[0].data)
    assert compacted(network, 3) is None


def pruned(name, density, *shape, **options):
    """A network of the laboratory with random masks, each tenth output without weights, and norms that fit them."""
    network = getattr(importlib.import_module(f"models.{name}"), name)(shape, 10, **options)
    masks = Masks(network)
    kept = {}
    for layer, weight in masks.weights.items():
        rows = (torch.rand(len(weight)) < 0.9).view(-1, *[1] * (weight.dim() - 1))
        # Each other row keeps one weight at least, else nothing gets through at 99 %.
        one = torch.zeros_like(weight, dtype=torch.bool).flatten(1)
        one.scatter_(1, torch.randint(one.shape[1], (len(weight), 1)), True)
        kept[layer] = ((torch.rand_like(weight) < density) | one.view_as(weight)) & rows
        weight.data /= kept[layer].float().mean().sqrt()  # as large as the sums of all weights were
    masks.set(kept)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.5)
            module.momentum = 1
    with torch.no_grad():
        network.train()(torch.randn(16, *shape))
    return network.eval(), masks


@pytest.mark.parametrize(
    ("name", "density", "shape", "options"),
    [
        ("LeNet300", 0.02, (1, 8, 8), {}),
        ("LeNet5", 0.02, (1, 28, 28), {}),
        ("VGG11", 0.02, (3, 32, 32), {}),
        ("ResNet20", 0.05, (3, 16, 16), {"shortcut": "project"}),
        ("ResNet20", 0.05, (3, 16, 16), {"shortcut": "pad"}),
        ("ResNet18", 0.01, (1, 8, 8), {}),
        ("ResNet18", 0.01, (3, 32, 32), {}),
        ("MobileNetV2", 0.02, (3, 32, 32), {}),
        ("SqueezeNet_bypass", 0.02, (3, 32, 32), {}),
        pytest.param("DenseNet121", 0.02, (1, 8, 8), {}, marks=pytest.mark.slow),
        pytest.param("ViT_tiny", 0.02, (3, 32, 32), {}, marks=pytest.mark.slow),
    ],
)
def test_networks_compute_the_same_with_fewer_channels(name, density, shape, options):
    network, masks = pruned(name, density, *shape, **options)
    example = torch.zeros(1, *shape)
    result = compact(network, example, masks)
    assert result.nodes > 0
    assert same(network, result.network, *shape)
    assert difference(network, result.network, example) <= 1e-5
    for layer, mask in result.masks.kept.items():
        assert torch.equal(result.masks.weights[layer] != 0, mask)
    assert compact(result.network, example, result.masks) is None
    fresh = getattr(importlib.import_module(f"models.{name}"), name)(shape, 10, **options)
    replay(fresh, example, [result.cuts])
    fresh.load_state_dict(result.network.state_dict())


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=3, max_size=6),
    density=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid]),
    norms=st.booleans(),
)
def test_any_perceptron_computes_the_same(widths, density, seed, activation, norms):
    torch.manual_seed(seed)
    layers = []
    for before, after in itertools.pairwise(widths):
        layers.append(nn.Linear(before, after, bias=not norms))
        if norms:
            layers.append(nn.BatchNorm1d(after))
            nn.init.normal_(layers[-1].running_mean)
        layers.append(activation())
    network = nn.Sequential(*layers, nn.Linear(widths[-1], 2)).eval()
    for weight in Masks(network).weights.values():
        weight.data *= torch.rand_like(weight) < density
    result = compacted(network, widths[0])
    if result is not None:
        assert difference(network, result.network, torch.zeros(1, widths[0])) <= 1e-6
        assert result.nodes == sum(len(channels) for _, channels in result.cuts) > 0
        assert compact(result.network, torch.zeros(1, widths[0]), result.masks) is None


QUICK = "--N 96 --batch_size 32 --eval_freq 0 --disable_histograms --disable_saliency --disable_confusion "
QUICK += "--disable_weightplot --disable_netplot"


@pytest.fixture
def run(tmp_path, capsys):
    """Call main.main; returns the results, the run folder and the output."""

    def start(command):
        assert main.main([*f"{command} {QUICK}".split(), "--results_dir", str(tmp_path)]) == 0
        newest = max(tmp_path.glob("*/output/results.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text()), newest.parents[1], capsys.readouterr().out

    return start


PRUNED = "--model LeNet300 --prune_criterion SNIPit --pruning_limit 0.98 --outer_layer_pruning --epochs 2"


def test_a_run_keeps_the_compact_network_beside_the_finished_one(run):
    results, folder, out = run(PRUNED)
    compact = results["compact"]
    tensors = load_file(folder / "models" / "LeNet300_compact.safetensors")
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("masks/")}
    assert compact["parameters"] == sum(tensor.numel() for tensor in weights.values()) < results["parameters_dense"]
    assert compact["flops"] == 2 * sum(tensor.numel() for tensor in weights.values() if tensor.dim() == 2)
    assert compact["nodes_removed"] == 400 - sum(len(weights[f"features.{layer}.bias"]) for layer in (1, 3))
    assert f"{compact['parameters']:,} parameters, {compact['flops']:,} FLOPs a sample" in out

    name = folder.name
    finished, _, _ = run(f"--eval --checkpoint_name {name}")
    smaller, _, out = run(f"--eval --checkpoint_name {name} --checkpoint_model LeNet300_compact")
    left, dense = smaller["flops_effective"], smaller["flops_dense"]
    assert f"{left:,} of {dense:,} FLOPs a sample, zeros free" in out
    assert smaller["test_loss"] == pytest.approx(finished["test_loss"], rel=1e-5)
    assert smaller["test_accuracy"] == finished["test_accuracy"]

    further, _, _ = run(f"--checkpoint_name {name} --checkpoint_model LeNet300_compact --epochs 1")
    assert further["weight_sparsity"] == smaller["weight_sparsity"]
    assert further["notices"] == []


def test_a_run_that_is_asked_not_to_keeps_no_compact_network(run):
    results, folder, out = run(f"{PRUNED} --no-compact")
    assert results["compact"] is None
    assert not list(folder.glob("models/*compact*"))
    assert "compacted" not in out


def test_a_run_without_masks_has_nothing_to_compact(run):
    results, folder, _ = run("--model LeNet300 --epochs 1")
    assert results["compact"] is None
    assert not list(folder.glob("models/*compact*"))


def test_a_network_that_would_compute_something_else_is_told_and_not_kept(run, monkeypatch):
    monkeypatch.setattr("utils.run.compact.difference", lambda *_: 0.25)
    results, folder, out = run(PRUNED)
    notice = "the network was not compacted: its outputs would differ by 2.5e-01"
    assert results["notices"] == [notice]
    assert notice in out
    assert not list(folder.glob("models/*compact*"))
