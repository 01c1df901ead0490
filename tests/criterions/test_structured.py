"""Scores of channels worked out by hand, which channels go, and a run that removes them from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import main
from criterions.BNScale import BNScale
from criterions.L1Norm import L1Norm
from criterions.L2GM import L2GM
from criterions.L2Norm import L2Norm
from criterions.SNAP import SNAP
from criterions.StructuredRandom import StructuredRandom
from criterions.TaylorFO import TaylorFO
from utils.errors import UserError
from utils.measure.sparsity import layer_outputs
from utils.pruning.moments import Timing
from utils.run import execute
from utils.run.assemble import assemble
from utils.run.files import read_sealed, write_sealed

ROOT = Path(__file__).parents[2]
QUICK = (
    "--data_set DIGITS --N 48 --batch_size 16 --eval_freq 0 --disable_histograms --disable_saliency "
    "--disable_confusion --disable_weightplot --disable_netplot"
)


@pytest.fixture
def traced(build):
    """Build a criterion of channels whose groups have been found."""

    def make(kind, network, inputs=(1, 2), flags="", loss=None):
        criterion = build(kind, network, flags, **({"loss": loss} if loss else {}))
        criterion.example, criterion.dense_outputs = torch.zeros(inputs), layer_outputs(network)
        criterion.trace()
        return criterion

    return make


def linear(bias=True):
    """Three hidden channels and one output, without a nonlinearity."""
    network = nn.Sequential(nn.Linear(2, 3, bias=bias), nn.Linear(3, 1, bias=False))
    network[0].weight.data = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]])
    if bias:
        network[0].bias.data = torch.tensor([0.0, 1.0, -1.0])
    network[1].weight.data = torch.tensor([[2.0, -1.0, 4.0]])
    return network


class Residual(nn.Module):
    """Two layers of five channels that are added up, then one of seven, then one output."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 5), nn.Linear(2, 5)
        self.third, self.classifier = nn.Linear(5, 7), nn.Linear(7, 1)

    def forward(self, inputs):
        return self.classifier(self.third(self.first(inputs) + self.second(inputs)).relu())


def squared(outputs, targets):
    return (outputs[:, 0] - targets).square().mean() / 2


# The hidden channels are (5, 2, -0.5), the output 10 - 2 - 2 = 6, and 2 too large: dL/dc = 2 * (10, -2, -2).
FIRST = (torch.tensor([[1.0, 2.0]]), torch.tensor([4.0]))
# The hidden channels are (2, 0, -1), the output 4 - 0 - 4 = 0, and 1 too small: dL/dc = -1 * (4, 0, -4).
SECOND = (torch.tensor([[0.0, 1.0]]), torch.tensor([1.0]))


def test_snap_is_the_size_of_the_gates_gradient(traced):
    criterion = traced(SNAP, linear(), loss=squared)
    assert criterion.channel_scores([FIRST])["0"].tolist() == [20, 4, 4]
    # of two batches the gradients are added before their size is taken: (20 - 4, -4 + 0, -4 + 4)
    assert criterion.channel_scores([FIRST, SECOND])["0"].tolist() == [16, 4, 0]


def test_taylor_is_the_mean_of_the_squares(traced):
    scores = traced(TaylorFO, linear(), loss=squared).channel_scores([FIRST, SECOND])["0"]
    # half of (20^2 + 4^2, 4^2 + 0, 4^2 + 4^2)
    assert scores.tolist() == [208, 8, 16]


def test_a_gate_needs_no_bias(traced):
    # without biases the hidden channels are (5, 1, 0.5) and the output 10 - 1 + 2 = 11, 7 too large
    scores = traced(SNAP, linear(bias=False), loss=squared).channel_scores([FIRST])
    assert scores["0"].tolist() == [70, 7, 14]


def test_the_gates_gradient_is_that_of_weights_and_bias_along_themselves(traced):
    network, generator = Residual(), torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(6, 2, generator=generator), torch.randn(6, generator=generator)
    criterion = traced(SNAP, network, loss=squared)
    scores = criterion.channel_scores([(inputs, targets)])
    squared(network(inputs), targets).backward()

    def along(layer):
        return (layer.weight.grad * layer.weight).sum(1) + layer.bias.grad * layer.bias

    coupled = next(root for root in criterion.groups if root != "third")
    torch.testing.assert_close(scores["third"], along(network.third).abs())
    # layers that are added up share their gates
    torch.testing.assert_close(scores[coupled], (along(network.first) + along(network.second)).abs())


def test_gates_leave_the_network_as_it_was(traced):
    network = linear()
    criterion = traced(SNAP, network, loss=squared)
    criterion.channel_scores([FIRST])
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network(FIRST[0]).tolist() == [[6]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (L1Norm, [3, 4, 0.5]),
        (L2Norm, [5**0.5, 10**0.5, 0.5]),
        # between (1, 2), (3, -1) and (0.5, 0): sqrt(13), sqrt(4.25) and sqrt(7.25)
        (L2GM, [13**0.5 + 4.25**0.5, 13**0.5 + 7.25**0.5, 4.25**0.5 + 7.25**0.5]),
    ],
)
def test_filters_by_hand(traced, kind, expected):
    scores = traced(kind, linear()).channel_scores([])
    torch.testing.assert_close(scores["0"], torch.tensor(expected))


def test_filters_of_coupled_layers_are_added_up(traced):
    network = Residual()
    criterion = traced(L1Norm, network)
    coupled = next(root for root in criterion.groups if root != "third")
    expected = network.first.weight.abs().sum(1) + network.second.weight.abs().sum(1)
    torch.testing.assert_close(criterion.channel_scores([])[coupled], expected.detach())


def test_filters_of_transposed_convolutions_are_those_of_their_outputs(traced):
    layer = nn.ConvTranspose2d(2, 3, 1)
    layer.weight.data = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).view(2, 3, 1, 1)
    criterion = traced(L1Norm, nn.Sequential(layer, nn.ReLU(), nn.Conv2d(3, 1, 1)), (1, 2, 1, 1))
    assert criterion.channel_scores([])["0"].tolist() == [11, 22, 33]


def normed():
    """Three channels behind a norm, then four without one."""
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network[1].weight.data = torch.tensor([-2.0, 0.5, 1.0])
    return network


@pytest.mark.parametrize("flags", ["", "--invert_scores"])
def test_bn_scale_leaves_channels_without_a_norm(traced, flags):
    network = normed()
    criterion = traced(BNScale, network, flags=flags)
    assert criterion.channel_scores([])["0"].tolist() == [2, 0.5, 1]
    event = criterion.prune(0.9, [])
    # of 7 nodes one should stay; the last channel behind the norm and the four others do
    assert (event.competing, event.kept) == (7, 5)
    assert network[1].weight.tolist() == [0.5 if flags else -2.0]
    assert network[3].out_features == 4


@pytest.mark.parametrize("wrong", [None, {"0": [1.0, 2.0, 3.0]}, {"0": torch.zeros(2)}, {"1": torch.zeros(3)}])
def test_scores_of_channels_that_are_none_are_refused_naming_the_method(traced, wrong):
    kind = type("Wrong", (SNAP,), {"channel_scores": lambda self, batches: wrong, "__module__": SNAP.__module__})
    kind.__name__ = "SNAP"
    with pytest.raises(UserError, match=r"SNAP\.channel_scores"):
        traced(kind, linear()).prune(0.5, [])


def test_bn_scale_needs_a_norm(traced):
    with pytest.raises(UserError, match="no norm with scales"):
        traced(BNScale, linear()).channel_scores([])


def test_a_layer_keeps_its_last_channel_and_the_best(traced):
    network = linear()
    event = traced(SNAP, network, loss=squared).prune(0.99, [FIRST])
    assert event.kept == 1
    assert network[0].weight.tolist() == [[1.0, 2.0]]
    assert network[1].weight.tolist() == [[2.0]]


def test_of_equal_scores_the_earlier_channels_stay(traced):
    network = linear()
    event = traced(SNAP, network, loss=squared).prune(0.34, [FIRST])  # scores 20, 4, 4
    assert event.history == [("0", [2])]


@pytest.mark.parametrize("distribution", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.05, 0.2, 0.33, 0.5, 0.61, 0.75])
def test_the_target_is_met_as_nearly_as_whole_groups_allow(traced, sparsity, distribution):
    network = Residual()
    criterion = traced(StructuredRandom, network, flags=f"--distribution {distribution}")
    event = criterion.prune(sparsity, [])
    # 5 pairs of coupled nodes and 7 single ones
    left = network.first.out_features + network.second.out_features + network.third.out_features
    assert (event.competing, event.kept, event.unit) == (17, left, "nodes")
    if distribution == "global":
        assert abs(left - (1 - sparsity) * 17) <= 1
    else:
        assert abs(network.first.out_features - (1 - sparsity) * 5) <= 0.5
        assert abs(network.third.out_features - (1 - sparsity) * 7) <= 0.5


def test_targets_are_shares_of_the_dense_network(traced):
    network = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2))
    criterion = traced(StructuredRandom, network)
    kept = [criterion.prune(sparsity, []).kept for sparsity in (0.5, 0.75, 0.75, 0.9)]
    assert kept == [20, 10, 10, 4]
    assert network[0].out_features + network[2].out_features == 4


def test_the_uniform_distribution_takes_the_same_share_of_every_layer(traced):
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 2))
    network[2].weight.data *= 100  # globally all of the first layer would go
    traced(L1Norm, network).prune(0.5, [])
    assert (network[0].out_features, network[2].out_features) == (2, 5)


def test_distributions_of_weights_are_refused(traced):
    with pytest.raises(UserError, match="StructuredRandom removes channels: global or uniform"):
        traced(StructuredRandom, linear(), flags="--distribution erdos_renyi")


def test_grouped_convolutions_lose_a_channel_of_each_group(traced):
    layer = nn.Conv2d(2, 8, 1, groups=2)
    layer.weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0, 8.0, 1.0, 1.0, 1.0]).view(8, 1, 1, 1)
    network = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    criterion = traced(L1Norm, network, (1, 2, 1, 1))
    # together the pairs have 9, 3, 4 and 5
    event = criterion.prune(0.25, [])
    assert event.history == [("0", [1, 5])]
    assert (event.competing, event.kept) == (8, 6)
    assert layer.weight.flatten().tolist() == [1, 3, 4, 8, 1, 1]
    assert network(torch.ones(1, 2, 1, 1)).shape == (1, 2)


class Joined(nn.Module):
    """A depthwise convolution behind the concatenation of two layers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        self.depthwise, self.classifier = nn.Conv2d(4, 4, 1, groups=4), nn.Linear(4, 2)

    def forward(self, images):
        joined = torch.cat([self.left(images), self.right(images)], 1).relu()
        return self.classifier(self.depthwise(joined).flatten(1))


def test_behind_a_concatenation_too_every_layer_keeps_a_channel(traced):
    network = Joined()
    with torch.no_grad():
        network.left.weight.mul_(1e-3)  # both of its channels are the worst
    event = traced(L1Norm, network, (1, 1, 1, 1)).prune(0.99, [])
    assert (network.left.out_channels, network.right.out_channels, network.depthwise.out_channels) == (1, 1, 2)
    assert (event.competing, event.kept) == (8, 4)


def test_a_network_without_removable_channels_is_refused(traced):
    with pytest.raises(UserError, match="no channels of this network can be removed"):
        traced(SNAP, nn.Linear(2, 2)).plan(Timing(0, 1, 0, 1, 1))


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Call main.main; returns the run, its results and the status; and stderr where there is one."""
    runs = []

    def keep(*parts):
        runs.append(assemble(*parts))
        return runs[-1]

    monkeypatch.setattr(execute, "assemble", keep)

    def start(command):
        status = main.main([*command.split(), "--results_dir", str(tmp_path)])
        err = capsys.readouterr().err
        if status:
            return status, err
        return runs[-1], json.loads((runs[-1].folder.output / "results.json").read_text())

    return start


AGAIN = """
import json, sys
import torch
import main
from utils.run import execute
from utils.run.assemble import assemble
from utils.run.files import read_sealed, write_sealed
torch.set_num_threads(1)
runs = []
def keep(*parts):
    runs.append(assemble(*parts))
    return runs[-1]
execute.assemble = keep
status = main.main(["--eval", "--batch_size", "16", "--checkpoint_name", "latest", "--results_dir", sys.argv[1]])
run = runs[-1]
inputs, _ = next(iter(run.data.held_out))
with torch.no_grad():
    torch.save(run.network.eval()(inputs), sys.argv[1] + "/logits.pt")
sys.exit(status)
"""


def evaluated_anew(folder):
    """Evaluate the latest network in a process of its own; returns its results and its logits of the first batch."""
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    newest = max(folder.glob("*/output/results.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text()), torch.load(folder / "logits.pt")


@torch.no_grad()
def logits(run):
    inputs, _ = next(iter(run.data.held_out))
    return run.network.eval()(inputs)


@pytest.mark.slow
def test_a_cut_network_is_trained_kept_evaluated_and_cut_again(run, tmp_path):
    command = f"--model ResNet18 --prune_criterion SNAPit {QUICK}"
    first, results = run(f"{command} --pruning_limit 0.93 --epochs 1")
    assert results["node_sparsity"] == pytest.approx(0.93, abs=0.005)
    assert sum(parameter.numel() for parameter in first.network.parameters()) < 0.05 * results["parameters_dense"]
    again, outputs = evaluated_anew(tmp_path)
    assert again["test_accuracy"] == results["test_accuracy"]
    assert again["test_loss"] == results["test_loss"]
    assert outputs.equal(logits(first))
    second, further = run(f"{command} --pruning_limit 0.97 --epochs 1 --checkpoint_name latest")
    assert further["node_sparsity"] == pytest.approx(0.97, abs=0.005)
    assert further["parameters_dense"] == results["parameters_dense"]
    assert len(second.history) > len(first.history) > 0
    again, outputs = evaluated_anew(tmp_path)
    assert again["test_accuracy"] == further["test_accuracy"]
    assert outputs.equal(logits(second))


def halve_the_last(cuts):
    cuts[-1][-1][1] = cuts[-1][-1][1][::2]
    return cuts


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda cuts: "all", "its cuts is 'all'"),
        (lambda cuts: [[["features.0", [-1]]]], "its cuts is"),
        (lambda cuts: [], "is of another network"),
        (halve_the_last, "is of another network"),
        (lambda cuts: [[["nowhere", [0]]]], "removes channels that are not there"),
        (lambda cuts: [[[cuts[0][0][0], [10_000]]]], "removes channels that are not there"),
        (lambda cuts: [[[cuts[0][0][0], [3, 3]]]], "removes channels that are not there"),
        (lambda cuts: cuts * 2, "removes channels that are not there"),
    ],
)
def test_a_tampered_record_of_cuts_is_told_in_one_line(run, tamper, said):
    trained, _ = run(f"--model LeNet300 --prune_criterion SNAP --pruning_limit 0.9 --epochs 0 {QUICK}")
    path = trained.folder.models / "LeNet300_finished.json"
    facts = read_sealed(path)
    write_sealed(path, facts | {"cuts": tamper(facts["cuts"])})
    status, err = run("--eval --checkpoint_name latest")
    assert status == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
