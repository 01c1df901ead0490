"""What a network is measured as for `--target`: by counting, and by a clock that is made up round by round."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.pruning import budget
from secateur.pruning.budget import Meter, counts

EXAMPLE = torch.zeros(1, 3, 4, 4)


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 2))


@pytest.fixture
def timed(monkeypatch):
    """Let the clock say what is in `rounds`, of the dense and the pruned network; `seen` is what it was asked for."""
    clock = SimpleNamespace(rounds=[], seen=[], prepared=[])

    def median_seconds(networks, images, seconds, least=0):
        clock.seen.append((images, seconds, least))
        return dict(zip(networks, clock.rounds.pop(0), strict=True))

    monkeypatch.setattr(budget, "median_seconds", median_seconds)
    monkeypatch.setattr(budget, "prepare", lambda network, images: clock.prepared.append((network, images)))
    return clock


def test_a_fraction_of_the_latency_is_the_median_ratio_times_what_the_dense_network_took_first(timed):
    meter, one = Meter(["latency=0.25@5"], network()), network()
    timed.rounds = [(2.0, 1.0), (4.0, 1.0), (3.0, 2.0)]
    assert meter.measure(one, EXAMPLE) == {"latency@5": 3.0 * 0.5}
    timed.rounds = [(8.0, 2.0), (8.0, 2.0), (8.0, 8.0)]
    assert meter.measure(one, EXAMPLE) == {"latency@5": 3.0 * 0.25}
    assert meter.asked(meter.targets[0], EXAMPLE) == 0.75
    timed.rounds = [(1.0, float(number)) for number in range(9)]
    assert meter.measure(one, EXAMPLE, 9) == {"latency@5": 12.0}
    images = timed.prepared[0][1]
    assert [(given.shape, seconds, least) for given, seconds, least in timed.seen] == [((5, 3, 4, 4), 0.4, 3)] * 15
    assert (images.shape, len(images.unique()) > 200) == ((5, 3, 4, 4), True)
    assert all(prepared is one for prepared, _ in timed.prepared)
    assert len(timed.prepared) == 3


def test_a_time_is_the_median_of_the_rounds_beside_what_is_counted(timed):
    meter = Meter(["latency=3s", "params=10"], network())
    assert meter.timed
    timed.rounds = [(1.0, 5.0), (1.0, 2.0), (1.0, 4.0)]
    measured = meter.measure(network(), EXAMPLE)
    assert list(measured.items()) == [("latency@1", 4.0), ("params", 98)]
    assert timed.seen[0][0].shape == (1, 3, 4, 4)
    assert [meter.asked(target, EXAMPLE) for target in meter.targets] == [3.0, 10.0]
    assert meter.excess({"latency@1": 1.5, "params": 30}, EXAMPLE) == 3.0
    assert meter.excess({"latency@1": 6.0, "params": 15}, EXAMPLE) == 2.0
    assert not Meter(["params=10"], network()).timed


def test_what_is_asked_is_a_share_of_the_network_that_there_was_before():
    one = network()
    meter = Meter(["params=0.25", "bytes=0.5", "flops=30"], one)
    with torch.no_grad():
        one[1].weight.zero_()
    assert [meter.asked(target, EXAMPLE) for target in meter.targets] == [98 / 4, 98 * 4 / 2, 30]
    assert meter.measure(one, EXAMPLE) == {"params": 2, "bytes": 8 + 12, "flops": 0}  # a bit each of 96 weights


def test_the_dense_network_is_timed_where_nobody_has_asked_before(timed):
    meter = Meter(["latency=0.25"], network())
    timed.rounds = [(2.0, 2.0), (4.0, 4.0), (3.0, 3.0)]
    assert meter.asked(meter.targets[0], EXAMPLE) == 0.75


def test_what_was_measured_is_shown_as_it_was_asked(timed):
    meter = Meter(["params=0.25", "latency=3ms@64", "flops=3k", "latency=0.3@2"], network())
    timed.rounds = [(8.0, 8.0)] * 6
    measured = {"params": 49, "latency@64": 0.0031416, "flops": 1234567.8, "latency@2": 5.0}
    assert [meter.shown(target, measured, EXAMPLE) for target in meter.targets] == [
        "params=0.5", "latency=3.142ms@64", "flops=1,234,568", "latency=0.625",
    ]  # fmt: skip


LAST, PLAIN = torch.channels_last, torch.contiguous_format


def both(first, second):
    return nn.Sequential(first.to(memory_format=LAST), second)


@pytest.mark.parametrize(
    ("layers", "channels", "layout"),
    [
        (lambda: nn.Conv2d(3, 4, 3).to(memory_format=LAST), 3, LAST),
        (lambda: nn.Conv2d(3, 1, 3).to(memory_format=LAST), 3, LAST),
        (lambda: nn.Conv2d(2, 4, 3).to(memory_format=LAST), 2, LAST),
        (lambda: nn.Conv2d(3, 4, (1, 2)).to(memory_format=LAST), 3, LAST),
        (lambda: nn.Conv2d(3, 4, 3), 3, PLAIN),
        (lambda: nn.Conv2d(3, 4, 1), 3, PLAIN),  # which is laid out for either
        (lambda: nn.Conv2d(3, 3, 3, groups=3), 3, PLAIN),
        (network, 3, PLAIN),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 2, 3)), 3, PLAIN),
        (lambda: both(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 2, groups=4)), 3, LAST),
        (lambda: both(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 2)), 3, PLAIN),
        (lambda: both(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 4, 2)), 3, PLAIN),
    ],
)
def test_images_are_laid_out_as_the_convolutions_are(timed, layers, channels, layout):
    meter, one = Meter(["latency=1s@5"], network()), layers()
    meter.as_run = lambda network, example: network
    timed.rounds = [(1.0, 1.0)]
    meter.measure(one, torch.zeros(1, channels, 4, 4), 1)
    assert timed.seen[0][0].is_contiguous(memory_format=layout)


def test_bytes_are_those_of_all_tensors_less_the_zeros_that_take_more_than_their_bits():
    one = nn.Sequential(nn.Conv2d(4, 11, 1), nn.BatchNorm2d(11), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    example, dense = torch.zeros(1, 4, 2, 2), 4 * (44 + 11 + 4 * 11) + 8
    assert counts(one, example)["bytes"] == dense
    with torch.no_grad():
        one[0].weight.view(-1)[0] = 0  # four bytes are less than the six of 44 bits
        assert counts(one, example)["bytes"] == dense
        one[0].weight.view(-1)[:2] = 0
        assert counts(one, example)["bytes"] == dense - 8 + 6
    assert counts(one.double(), example.double())["bytes"] == 2 * (dense - 8) + 8 - 16 + 6
