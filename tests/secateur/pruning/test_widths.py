"""What channels cost, by counting and by a made-up clock, and which widths a machine likes."""

import contextlib
import json

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.surgery import Surgery
from secateur.measuring.flops import count_flops
from secateur.pruning import widths
from secateur.pruning.widths import LayerTimes, Widths, layer_times
from secateur.utils.errors import UserError

IMAGE = torch.zeros(1, 3, 4, 4)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.Conv2d(24, 20, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 2),
    )  # fmt: skip


@pytest.fixture
def table(layers_timed_by):
    """A machine on which 16 channels are computed at a time; returns what was measured."""
    measured = []

    def seconds(_call, _budget, made, _given):
        measured.append(made)
        return 2e-6 if isinstance(made, nn.Sequential) else 1e-6 * -(-made.weight.shape[0] // 16)

    layers_timed_by(seconds)
    return measured


def of(one, **options):
    return Widths(one, IMAGE, Surgery(one, IMAGE).groups, **options)


def test_the_operations_of_a_channel_by_hand():
    costs = of(network()).unit_costs("flops")
    # a channel of the first: 3 * 9 of its own, 9 of the depthwise one, 20 that read it, at 16 places, each of two
    assert sorted(costs.values()) == [2 * (24 * 16 + 2), 2 * 16 * (27 + 9 + 20)]


def test_channels_go_by_their_score_over_what_they_cost():
    def left(**options):
        found = network()
        with torch.no_grad():
            found[0].weight.fill_(1.0)  # the sum over a channel is 27
            found[3].weight.fill_(1.0)  # and 24
            found[2].weight.fill_(0.0)
        secateur.prune(found, "L1Norm", sparsity=0.2, example=IMAGE, distribution="global", **options)
        return found[0].out_channels, found[3].out_channels, count_flops(found, IMAGE).total

    assert left() == (24, 6, 2 * (24 * 16 * (27 + 9 + 6) + 6 * 2))
    assert left(cost="flops") == (17, 20, 2 * (17 * 16 * (27 + 9 + 20) + 20 * 2))


def test_seconds_are_measured_once_and_kept_for_this_machine(table):
    found = of(network())
    costs = found.unit_costs("latency")
    assert all(cost >= 1e-12 for cost in costs.values())
    before = len(table)
    assert of(network()).unit_costs("latency") == costs
    assert len(table) == before > 0
    assert sorted(json.loads(LayerTimes().path.read_text())) == sorted(layer_times().known)


def test_norms_take_their_share_of_the_time_by_hand(table):
    normed = nn.Sequential(network()[0], nn.BatchNorm2d(24), *network()[1:])
    (cost,) = [
        cost for root, cost in of(normed).unit_costs("latency").items() if len(of(normed).groups[root].units) == 24
    ]
    # twelve of 24 go: the two layers that put them out take 1 us less each, the one that reads them as long as before,
    # and the norm half of its 2 us
    assert cost == pytest.approx((1e-6 + 1e-6 + 0 + 1e-6) / 12)
    assert [type(made[0]).__name__ for made in table if isinstance(made, nn.Sequential)] == ["BatchNorm2d"]
    assert sorted(of(normed).unit_costs("flops").values()) == sorted(of(network()).unit_costs("flops").values())


@pytest.mark.parametrize(
    ("cost", "target", "images"), [("latency@16", None, 16), ("latency", "latency=0.9@4", 4), ("latency", None, 1)]
)
def test_latency_is_that_of_as_many_images_as_asked(table, monkeypatch, cost, target, images):
    seen = []
    monkeypatch.setattr(Widths, "total", lambda self, *_: seen.append(self.images) or 1.0)
    monkeypatch.setattr(
        "secateur.pruning.budget.median_seconds", lambda networks, *_, **__: dict.fromkeys(networks, 1.0)
    )
    amount = {"sparsity": 0.2} if target is None else {"target": target}
    with contextlib.suppress(UserError):  # by this clock nothing becomes faster
        secateur.prune(network(), "L1Norm", example=IMAGE, cost=cost, **amount)
    assert set(seen) == {images}


@pytest.mark.parametrize("cost", ["latency@0", "time", "flops@8"])
def test_other_costs_are_one_line(cost):
    with pytest.raises(UserError, match=f"'{cost}' is not none, flops, latency or latency@64"):
        secateur.prune(network(), "L1Norm", example=IMAGE, cost=cost)


def test_more_channels_stay_where_as_many_are_as_fast(table):
    found = of(network())
    (root,) = [root for root, group in found.groups.items() if len(group.units) == 24]
    # three layers have its channels, two of which take 1 us up to 16 of them, and 2 us beyond
    assert [found.liked(root, units) for units in (7, 12, 16, 18, 23)] == [8, 16, 16, 24, 24]
    pruned = network()
    secateur.prune(pruned, "L1Norm", sparsity=0.45, example=IMAGE, round_to="auto", distribution="uniform")
    assert (pruned[0].out_channels, pruned[3].out_channels) == (16, 16)
    pruned = network()
    secateur.prune(pruned, "L1Norm", sparsity=0.45, example=IMAGE, round_to=8, distribution="uniform")
    assert (pruned[0].out_channels, pruned[3].out_channels) == (16, 8)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False),
        nn.ConvTranspose2d(4, 6, 2, stride=2),
        nn.Conv1d(4, 4, 3),
        nn.Linear(4, 6),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_tried_in_other_widths(layer):
    shape = (2, 5, 4) if isinstance(layer, nn.Linear) else (2, 4, *[8] * (layer.weight.dim() - 2))
    made, given = widths._resized(layer, 2, 4, shape)
    assert type(made) is type(layer)
    assert made(given).shape == layer(torch.rand(shape)).shape[:1] + made(given).shape[1:]
