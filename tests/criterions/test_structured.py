"""Scores of channels worked out by hand, and which channels go."""

import pytest
import torch
from torch import nn

from secateur.criterions.BNScale import BNScale
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.L2GM import L2GM
from secateur.criterions.L2Norm import L2Norm
from secateur.criterions.SNAP import SNAP
from secateur.criterions.StructuredRandom import StructuredRandom
from secateur.criterions.TaylorFO import TaylorFO
from secateur.pruning.plan import Timeline
from secateur.utils.errors import UserError
from tests.secateur.channels.networks import Joined


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
    # of two batches the mean of the gradients is taken before their size: half of (20 - 4, -4 + 0, -4 + 4)
    assert criterion.channel_scores([FIRST, SECOND])["0"].tolist() == [8, 2, 0]


def test_taylor_is_the_mean_of_the_squares(traced):
    scores = traced(TaylorFO, linear(), loss=squared).channel_scores([FIRST, SECOND])["0"]
    # half of (20^2 + 4^2, 4^2 + 0, 4^2 + 4^2)
    assert scores.tolist() == [208, 8, 16]


def test_gates_are_behind_norms_that_would_undo_them(traced):
    """Before a norm that takes the statistics of the batch a gate changes nothing: its gradient is rounding."""
    norm = nn.BatchNorm1d(2, eps=1e-12)
    network = nn.Sequential(nn.Linear(1, 2, bias=False), norm, nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0], [1.0]]))
        norm.weight.copy_(torch.tensor([2.0, 1.0]))
        norm.bias.copy_(torch.tensor([1.0, 0.0]))
        network[2].weight.copy_(torch.tensor([[1.0, 2.0]]))
    # The loss is the first output: 1 * c0 * (2 * n0 + 1) + 2 * c1 * n1, with the normalised n = (1, 1), or by the
    # running statistics, 0 and 1, n = (3, 1).
    batch = (torch.tensor([[1.0], [-1.0]]), torch.tensor([2.0, 0.0]))
    criterion = traced(TaylorFO, network, (1, 1), loss=lambda outputs, targets: (outputs[:, 0] * targets).mean())
    assert criterion.channel_scores([batch])["0"].tolist() == pytest.approx([3**2, 2**2])
    criterion.score_mode = "eval"
    assert criterion.channel_scores([batch])["0"].tolist() == pytest.approx([7**2, 2**2])
    assert not norm._forward_hooks
    snap = traced(SNAP, network, (1, 1), "--score_mode train", criterion.loss)
    assert snap.channel_scores([batch])["0"].tolist() == pytest.approx([3, 2])


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


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (L1Norm, [3, 5, 1.5]),
        (L2Norm, [5**0.5, 11**0.5, 1.25**0.5]),
        # between (1, 2, 0), (3, -1, 1) and (0.5, 0, -1): sqrt(14), sqrt(5.25) and sqrt(11.25)
        (L2GM, [14**0.5 + 5.25**0.5, 14**0.5 + 11.25**0.5, 5.25**0.5 + 11.25**0.5]),
    ],
)
def test_a_bias_is_one_more_weight_of_its_filter(traced, kind, expected):
    scores = traced(kind, linear(), flags="--filter_bias").channel_scores([])
    torch.testing.assert_close(scores["0"], torch.tensor(expected))
    without = traced(kind, linear(bias=False), flags="--filter_bias").channel_scores([])
    torch.testing.assert_close(without["0"], traced(kind, linear()).channel_scores([])["0"])


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
    step = criterion.prune(0.9, [])
    # of 7 channels one should stay; the last channel behind the norm and the four others do
    assert (step.candidates, step.kept) == (7, 5)
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
    step = traced(SNAP, network, loss=squared).prune(0.99, [FIRST])
    assert step.kept == 1
    assert network[0].weight.tolist() == [[1.0, 2.0]]
    assert network[1].weight.tolist() == [[2.0]]


def test_of_equal_scores_the_earlier_channels_stay(traced):
    network = linear()
    step = traced(SNAP, network, loss=squared).prune(0.34, [FIRST])  # scores 20, 4, 4
    assert step.removed == [("0", [2])]


@pytest.mark.parametrize("distribution", ["global", "uniform"])
@pytest.mark.parametrize("sparsity", [0.05, 0.2, 0.33, 0.5, 0.61, 0.75])
def test_the_target_is_met_as_nearly_as_whole_groups_allow(traced, sparsity, distribution):
    network = Residual()
    criterion = traced(StructuredRandom, network, flags=f"--distribution {distribution}")
    step = criterion.prune(sparsity, [])
    # 5 pairs of coupled channels and 7 single ones
    left = network.first.out_features + network.second.out_features + network.third.out_features
    assert (step.candidates, step.kept, step.unit) == (17, left, "units")
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


def test_a_state_holds_what_changes_and_the_names_of_the_groups(traced):
    kind = type("SNAP", (SNAP,), {"state_attrs": ("seen",), "seen": 0, "__module__": SNAP.__module__})
    first, second = traced(kind, Residual()), traced(kind, Residual())
    first.seen = 5
    state = first.state_dict()
    assert state["groups"] == list(first.groups)
    second.load_state_dict({**state, "groups": ["third"]})
    assert second.seen == 5
    assert list(second.groups) == ["third"]
    assert second.groups["third"].channels == 7


def test_distributions_of_weights_are_refused(traced):
    with pytest.raises(UserError, match="StructuredRandom removes channels: global or uniform"):
        traced(StructuredRandom, linear(), flags="--distribution erdos_renyi")


def test_grouped_convolutions_lose_a_channel_of_each_group(traced):
    layer = nn.Conv2d(2, 8, 1, groups=2)
    layer.weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0, 8.0, 1.0, 1.0, 1.0]).view(8, 1, 1, 1)
    network = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    criterion = traced(L1Norm, network, (1, 2, 1, 1))
    # together the pairs have 9, 3, 4 and 5
    step = criterion.prune(0.25, [])
    assert step.removed == [("0", [1, 5])]
    assert (step.candidates, step.kept) == (8, 6)
    assert layer.weight.flatten().tolist() == [1, 3, 4, 8, 1, 1]
    assert network(torch.ones(1, 2, 1, 1)).shape == (1, 2)


def test_behind_a_concatenation_too_every_layer_keeps_a_channel(traced):
    network = Joined()
    with torch.no_grad():
        network.left.weight.mul_(1e-3)  # both of its channels are the worst
    step = traced(L1Norm, network, (1, 1, 1, 1)).prune(0.99, [])
    assert (network.left.out_channels, network.right.out_channels, network.depthwise.out_channels) == (1, 1, 2)
    assert (step.candidates, step.kept) == (8, 4)


def test_a_network_without_removable_channels_is_refused(traced):
    with pytest.raises(UserError, match="no channels of this network can be removed"):
        traced(SNAP, nn.Linear(2, 2)).plan(Timeline(0, 1, 0, 1, 1))
