"""What is measured of a layer, in which width and on what, and what is made of the seconds."""

import contextlib
import json

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.surgery import Surgery
from secateur.pruning import widths
from secateur.pruning.widths import LayerTimes, Widths, layer_times


@pytest.fixture
def clock(layers_timed_by):
    """A machine that takes a microsecond for each number that a layer reads of an image; returns what it has timed."""
    timed = []

    def seconds(call, budget, _made, given):
        timed.append((budget, tuple(call().shape)))
        return 1e-6 * given[0].numel()

    layers_timed_by(seconds)
    return timed


def normed():
    """Four channels behind a norm, of which a convolution makes two."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


IMAGE = torch.zeros(1, 1, 6, 6)


def of(network, image=IMAGE, **options):
    return Widths(network, image, Surgery(network, image).groups, **options)


@pytest.fixture
def bars(monkeypatch):
    """Notes the lengths and names of progress bars, and how they advance."""
    seen = []

    @contextlib.contextmanager
    def bar(total, name):
        seen.append((total, name))
        yield lambda *step: seen.append(step)

    monkeypatch.setattr(widths, "progress_bar", bar)
    return seen


def test_each_shape_is_timed_once_on_as_many_images_as_asked_and_kept_in_a_file(clock, bars):
    network = normed()
    found = of(network, images=5)
    assert found.shapes == {"0": (1, 6, 6), "1": (4, 4, 4), "3": (4, 4, 4)}
    # 36 for the first layer, 16 a channel for what reads them and for the norm: 36 + 64 + 64, and with half of them
    # 36 + 32 + 32
    assert found.unit_costs("latency") == {"0": pytest.approx(32e-6)}
    assert bars == [(1, "groups of channels"), (1, "0")]
    assert all(module.training for module in network.modules())
    keys = {
        f"{nn.Conv2d(1, 4, 3, bias=False)} (5, 1, 6, 6) cpu torch.float32": 36e-6,
        f"{nn.Conv2d(1, 2, 3, bias=False)} (5, 1, 6, 6) cpu torch.float32": 36e-6,
        f"{nn.Conv2d(4, 2, 1)} (5, 4, 4, 4) cpu torch.float32": 64e-6,
        f"{nn.Conv2d(2, 2, 1)} (5, 2, 4, 4) cpu torch.float32": 32e-6,
        f"{nn.BatchNorm2d(4)} and ReLU (5, 4, 4, 4) cpu torch.float32": 64e-6,
    }
    path = layer_times().path
    assert (path.parent.name, path.suffix, len(path.stem)) == ("layers", ".json", 32)
    assert json.loads(path.read_text()) == pytest.approx(keys)
    assert [budget for budget, _ in clock] == [0.03] * 5
    assert sorted(shape for _, shape in clock) == [
        (5, 2, 4, 4), (5, 2, 4, 4), (5, 2, 4, 4), (5, 4, 4, 4), (5, 4, 4, 4),
    ]  # fmt: skip

    layer_times.cache_clear()
    assert of(network, images=5).unit_costs("latency") == {"0": pytest.approx(32e-6)}
    assert len(clock) == 5  # all are in the file
    assert of(network).unit_costs("latency") == {"0": pytest.approx(32e-6)}
    assert len(clock) == 10  # of one image they are others
    path.write_text("[")
    assert LayerTimes().known == {}


def test_widths_that_are_no_faster_cost_next_to_nothing(clock, monkeypatch):
    monkeypatch.setattr(widths, "median_times", lambda calls, budget: {"layer": 1e-3})
    network = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
    assert of(network, torch.zeros(1, 2)).unit_costs("latency") == {"0": 1e-12}


def narrow():
    """Two channels, by themselves, that go into one, of whose pixels four outputs are made."""
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.Conv2d(2, 1, 1), nn.Flatten(),
        nn.Linear(16, 4),
    )  # fmt: skip


def test_narrow_layers_keep_a_channel_in_whatever_is_counted(clock):
    image = torch.zeros(1, 3, 4, 4)
    found = of(narrow(), image)
    (two,) = [root for root, group in found.groups.items() if len(group.units) == 2]
    # 3 * 9 and 9 for each of two channels and one that reads it, at 16 places, each of two operations
    whole = 2 * 16 * (54 + 18 + 2)
    assert [found.total(two, units, "flops") for units in (2, 1, 0)] == [whole, whole / 2, whole / 2]
    assert found.unit_costs("flops")[two] == whole / 2
    # reading 3 * 16 and twice as much as there are channels
    assert [found.total(two, units, "latency") for units in (2, 1, 0)] == pytest.approx([112e-6, 80e-6, 80e-6])


@pytest.mark.parametrize(
    ("units", "seconds", "liked"),
    [
        (12, {12: 1.0, 16: 1.02}, 16),
        (12, {12: 1.0, 16: 1.03}, 12),
        (12, {12: 1.0, 16: 0.5}, 16),
        (9, {9: 2.0, 16: 2.05}, 9),
        (16, {}, 16),
        (17, {}, 17),  # there are no 24
        (20, {}, 20),
        (1, {1: 1.0, 8: 1.0}, 8),
    ],
)
def test_a_multiple_of_eight_is_liked_where_it_takes_at_most_a_fiftieth_more(monkeypatch, units, seconds, liked):
    found = of(nn.Sequential(nn.Linear(2, 20), nn.Linear(20, 3)), torch.zeros(1, 2))
    monkeypatch.setattr(found, "total", lambda root, left, kind: {"latency": seconds}[kind][left])
    assert found.liked("0", units) == liked


class Own(nn.Conv2d):
    """A convolution of somebody's own."""


RESIZED = {
    "groups": (
        nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=False, padding_mode="reflect"), (3, 5),
        nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, bias=False, padding_mode="reflect"),
    ),
    "groups of one": (nn.Conv2d(4, 6, 3, groups=2), (1, 1), nn.Conv2d(2, 2, 3, groups=2)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (3, 2), nn.Conv2d(2, 2, 3, groups=2)),
    "depthwise of two": (nn.Conv2d(2, 2, 3, groups=2), (1, 1), nn.Conv2d(1, 1, 3)),
    "one output": (nn.Conv2d(4, 1, 3), (3, 1), nn.Conv2d(3, 1, 3)),
    "transposed": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (3, 5),
        nn.ConvTranspose2d(3, 5, 3, stride=2, output_padding=1),
    ),
    "of one dimension": (nn.Conv1d(4, 6, 3).double(), (3, 5), nn.Conv1d(3, 5, 3).double()),
    "of three dimensions": (nn.Conv3d(4, 6, 3), (3, 5), nn.Conv3d(3, 5, 3)),
    "own": (Own(4, 6, 3), (3, 5), nn.Conv2d(3, 5, 3)),
    "channels last": (nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last), (3, 5), nn.Conv2d(3, 5, 3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", RESIZED)
def test_a_convolution_is_made_in_another_width_and_all_else_is_as_it_was(kind):
    layer, (inputs, outputs), expected = RESIZED[kind]
    sizes = [7, 9, 8][: layer.weight.dim() - 2]
    made, given = widths._resized(layer, inputs, outputs, (2, 4, *sizes))
    assert (type(made), str(made)) == (type(expected), str(expected))
    assert given.shape == (2, expected.in_channels, *sizes)
    assert given.dtype == made.weight.dtype == layer.weight.dtype
    last = kind == "channels last"
    if "depthwise" not in kind:  # whose weights are of either format
        assert (given.is_contiguous(), made.weight.is_contiguous()) == (not last, not last)
    assert made(given).shape == expected(given.contiguous()).shape


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_made_in_another_width(bias):
    layer = nn.Linear(4, 6, bias=bias, dtype=torch.float64)
    made, given = widths._resized(layer, 3, 5, (2, 7, 4))
    assert (made.in_features, made.out_features, made.bias is not None) == (3, 5, bias)
    assert (given.shape, given.dtype, made.weight.dtype) == ((2, 7, 3), torch.float64, torch.float64)


def test_norms_are_timed_in_their_own_type_and_those_without_scales_in_single_precision(clock):
    table = LayerTimes()
    norm = nn.BatchNorm1d(3, dtype=torch.float64)
    assert table.of_norm(norm, (4, 3)) == pytest.approx(3e-6)
    assert norm.training
    assert table.of_norm(nn.BatchNorm1d(3, affine=False), (4, 3)) == pytest.approx(3e-6)
    assert [key.rpartition(" and ")[2] for key in table.known] == [
        "ReLU (4, 3) cpu torch.float64", "ReLU (4, 3) cpu torch.float32",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "targets", "images"),
    [
        ("latency", ["latency=0.9@4", "latency=0.8@16", "flops=0.9"], 16),
        ("latency@2", ["latency=0.9@4"], 2),
        ("latency@2", None, 2),
        ("latency", None, 1),
    ],
)
def test_scores_are_divided_by_seconds_for_the_most_images_that_are_asked_for(monkeypatch, cost, targets, images):
    asked = []

    def unit_costs(self, kind):
        asked.append((kind, self.images))
        return {"0": 2.0}

    monkeypatch.setattr(Widths, "unit_costs", unit_costs)
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    options = {"target": targets} if targets else {}
    pruner = secateur.Pruner(network, "L1Norm", example=torch.zeros(1, 2), planned=False, cost=cost, **options)
    pruner.criterion.trace()
    assert pruner.criterion.unit_scores({"0": torch.tensor([3.0, 1.0, 4.0])})["0"].tolist() == [1.5, 0.5, 2]
    assert asked == [("latency", images)]
