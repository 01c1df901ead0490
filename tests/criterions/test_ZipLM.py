"""What channels cost the layers that read them, by the closed form of what those cannot make up for."""

import pytest
import torch
from torch import nn

import secateur
from secateur.channels.groups import Group
from secateur.criterions.ZipLM import ZipLM
from secateur.pruning import removal_costs
from secateur.pruning.removal_costs import Reader
from secateur.utils.errors import UserError
from tests.criterions.moments import damped, spread


class Read(nn.Module):
    """Channels that are the inputs, each read by layers of two outputs."""

    def __init__(self, channels, *readers):
        super().__init__()
        self.made = nn.Linear(channels, channels, bias=False)
        self.made.weight.data = torch.eye(channels)
        self.readers = nn.ModuleList(nn.Linear(channels, 2, bias=False) for _ in readers)
        for layer, weight in zip(self.readers, readers, strict=True):
            layer.weight.data = weight

    def forward(self, inputs):
        made = self.made(inputs)
        return sum(layer(made) for layer in self.readers)


def least_error(weight, moments, kept):
    """What weights (R, F) within `kept` (F,) cannot give of what all of them gave."""
    weight, found = weight.double(), torch.zeros_like(weight, dtype=torch.float64)
    found[:, kept] = torch.linalg.solve(moments[kept][:, kept], (weight @ moments)[:, kept].T).T
    missing = weight - found
    return float((missing @ moments * missing).sum())


def greedy(readers, inputs, units):
    """The cost of each unit, by trying all that are left at each step."""
    return greedy_of([(weight, inputs, units) for weight in readers])


def greedy_of(readers):
    """The same of weights, with the inputs that each of them reads and the columns of each unit among these."""
    parts = []
    for weight, inputs, units in readers:
        moments, more = damped(inputs.double(), 0), damped(inputs.double())
        parts.append((weight, more, float((weight.double() @ moments * weight.double()).sum()), units))

    def error(kept_units):
        total = 0
        for weight, more, energy, units in parts:
            kept = torch.ones(len(more), dtype=torch.bool)
            for number, columns in enumerate(units):
                kept[columns] = number in kept_units
            total += least_error(weight, more, kept) / energy
        return total

    left, costs, before = set(range(len(readers[0][2]))), {}, 0.0
    count = len(left)
    while left:
        found = {number: error(left - {number}) for number in left}
        cheapest = min(found, key=found.get)
        costs[cheapest] = max(found[cheapest] - before, *costs.values(), 0)
        before = found[cheapest]
        left.remove(cheapest)
    return [costs[number] for number in range(count)]


@pytest.mark.parametrize("readers", [1, 2])
def test_costs_are_those_of_the_best_fit_after_each_removal(traced, readers):
    inputs, weights = spread(30, 6).float(), [torch.randn(2, 6) for _ in range(readers)]
    scores = traced(ZipLM, Read(6, *weights), (1, 6)).channel_scores([(inputs, None)])
    assert scores["made"].tolist() == pytest.approx(greedy(weights, inputs, [[c] for c in range(6)]), rel=1e-9)


def test_places_of_a_kernel_and_pixels_that_are_flattened_go_with_their_channel(traced):
    maps, network = nn.Conv2d(1, 3, 1, bias=False), nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    images = torch.randn(40, 1, 2, 2)
    made = maps(images).detach()
    criterion = traced(ZipLM, nn.Sequential(maps, *network), (1, 1, 2, 2))
    units = [list(range(4 * channel, 4 * channel + 4)) for channel in range(3)]
    wanted = greedy([network[1].weight.detach()], made.flatten(1), units)
    assert criterion.channel_scores([(images, None)])["0"].tolist() == pytest.approx(wanted, rel=1e-6)

    reader = nn.Conv2d(3, 2, 2, bias=False)  # as a product it has the same columns, in another order
    reader.weight.data = network[1].weight.detach().view(2, 3, 2, 2)
    criterion = traced(ZipLM, nn.Sequential(maps, reader), (1, 1, 2, 2))
    assert criterion.channel_scores([(images, None)])["0"].tolist() == pytest.approx(wanted, rel=1e-6)


def test_of_two_channels_that_are_the_same_one_costs_next_to_nothing(traced):
    inputs = torch.randn(50, 3)
    inputs[:, 2] = inputs[:, 0]
    costs = traced(ZipLM, Read(3, torch.tensor([[1.0, 1, 1], [1, 0, 1]])), (1, 3)).channel_scores([(inputs, None)])
    cheap, dear = sorted(costs["made"][[0, 2]].tolist())
    assert cheap < 0.01 < 0.3 < dear


def test_inputs_of_very_wide_layers_are_held_to_be_independent(traced, monkeypatch):
    monkeypatch.setattr(removal_costs, "MOST_COLUMNS", 3)
    inputs, weight = spread(30, 4).float(), torch.tensor([[1.0, 2, 3, 4], [0, 1, 0, -1]])
    scores = traced(ZipLM, Read(4, weight), (1, 4)).channel_scores([(inputs, None)])
    square = inputs.double().square().mean(0)
    lost = weight.double().square().sum(0) * (square + 0.01 * square.mean())
    assert scores["made"].tolist() == pytest.approx((lost / (weight.double().square() @ square).sum()).tolist())


def test_moments_that_have_no_inverse_are_one_line(traced):
    inputs = torch.randn(20, 1).expand(20, 3)
    criterion = traced(ZipLM, Read(3, torch.ones(2, 3)), (1, 3), "--damping 1e-300")
    with pytest.raises(UserError, match=r"--damping 1e-300: a layer's moments cannot be inverted: increase it"):
        criterion.channel_scores([(inputs, None)])


def test_channels_that_nobody_reads_stay_and_a_reader_of_zeros_asks_for_none(traced):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.made, self.reader, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, inputs):
            return self.last(self.reader(self.reader(self.made(inputs))))

    scores = traced(ZipLM, Twice(), (1, 3)).channel_scores([(torch.randn(20, 3), None)])
    assert all(score.isfinite().all() for score in scores.values())  # of the last layer, which is used once
    network = Read(3, torch.ones(2, 3))
    network.readers.append(network.readers[0])  # the only one that reads them, and it runs twice
    assert (
        traced(ZipLM, network, (1, 3)).channel_scores([(torch.randn(20, 3), None)])["made"].tolist() == [torch.inf] * 3
    )
    scores = traced(ZipLM, Read(3, torch.zeros(2, 3)), (1, 3)).channel_scores([(torch.randn(20, 3), None)])
    assert scores["made"].tolist() == [0, 0, 0]


def test_large_filters_that_say_the_same_go_first_and_the_others_make_up_for_them():
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():  # the first three channels are the largest, and all the same
        network[0].weight[1:3], network[0].bias[1:3] = network[0].weight[0], network[0].bias[0]
        network[0].weight[:3] *= 10
        network[0].bias[:3] *= 10
    images = torch.randn(64, 8)
    before = network(images).detach()
    batches = [(images, torch.zeros(64, dtype=torch.long))]
    secateur.prune(network, "ZipLM", sparsity=1 / 3, batches=batches, repair=["least_squares"])
    assert network[0].out_features == 4
    assert torch.allclose(network(images), before, atol=0.05 * float(before.abs().max()))


def test_units_of_several_channels_some_of_which_a_reader_does_not_see_share_what_they_cost():
    torch.manual_seed(5)
    first, second = nn.Linear(6, 3, bias=False), nn.Linear(3, 2, bias=False)
    seen = [spread(30, 6).float(), spread(30, 3).float()]
    # units 0 2, 1 3 and 4 5: the first reader has 0 2 twice, 1 3, and 1 of it once more; the second 2 0 and 4
    units = torch.tensor([[0, 2], [1, 3], [4, 5]])
    inputs = [
        ("first", torch.arange(6), torch.tensor([0, 1, 2, 0, 3, 2])),
        ("second", torch.tensor([2, 0, 1]), torch.tensor([4, 2, 0])),
        ("unseen", torch.tensor([0]), torch.tensor([5])),
    ]
    columns = [[[0, 2, 3, 5], [1, 4], []], [[0, 1], [], [2]]]
    group = Group("made", 7, units, inputs=inputs)
    weights = [first.weight.detach(), second.weight.detach()]
    wanted = greedy_of([(*part, own) for *part, own in zip(weights, seen, columns, strict=True)])
    readers = {"first": Reader("first", first, seen[0], 0.01), "second": Reader("second", second, seen[1], 0.01)}
    for _ in range(2):  # nothing is left of the first time
        costs = removal_costs.removal_costs(group, readers)
        assert (costs.dtype, costs.shape) == (torch.float64, (7,))
        halves = [wanted[unit] / 2 for unit in (0, 1, 0, 1, 2, 2)]
        assert costs.tolist() == pytest.approx([*halves, torch.inf], rel=1e-9)
    alone = removal_costs.removal_costs(group, {"second": readers["second"]})
    assert alone.isinf().tolist() == [False, True, False, True, False, False, True]


@pytest.mark.parametrize(("columns", "most", "wide"), [(4, 4, False), (5, 4, True), (8193, None, True)])
def test_layers_of_more_columns_than_a_square_has_room_for_have_no_second_moments(monkeypatch, columns, most, wide):
    if most is not None:
        monkeypatch.setattr(removal_costs, "MOST_COLUMNS", most)
    asked, statistics = [], removal_costs.input_statistics

    def noted(*given, moments):
        asked.append(moments)
        return statistics(*given, moments=moments and columns < 10)

    monkeypatch.setattr(removal_costs, "input_statistics", noted)
    reader = Reader("reader", nn.Linear(columns, 2), torch.randn(20, columns), 0.01)
    assert asked == [not wide]
    assert reader.inverse.shape == ((columns,) if wide else (columns, columns))


def test_wide_readers_add_up_what_each_column_of_a_unit_costs(monkeypatch):
    monkeypatch.setattr(removal_costs, "MOST_COLUMNS", 2)
    inputs, layer = spread(30, 4).float(), nn.Linear(4, 2, bias=False)
    units = torch.tensor([[0], [1]])
    group = Group("made", 2, units, inputs=[("reader", torch.arange(4), torch.tensor([1, 0, 1, 1]))])
    costs = removal_costs.removal_costs(group, {"reader": Reader("reader", layer, inputs, 0.01)})
    square = inputs.double().square().mean(0)
    lost = layer.weight.detach().double().square().sum(0)
    energy = float((lost * square).sum())
    lost = (lost * (square + 0.01 * square.mean()) / energy).tolist()
    small, large = sorted([lost[1], lost[0] + lost[2] + lost[3]])
    assert sorted(costs.tolist()) == pytest.approx([small, large])
    assert costs.argmin() == (0 if lost[1] == small else 1)


def test_convolutions_of_groups_that_read_channels_have_no_say(traced):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 2))
    images = torch.randn(20, 1, 4, 4)
    scores = traced(ZipLM, network, (1, 1, 4, 4)).channel_scores([(images, None)])
    read = network[:2](images).detach()
    windows = nn.functional.unfold(read, 2).transpose(1, 2).flatten(0, 1)
    units = [list(range(4 * channel, 4 * channel + 4)) for channel in range(4)]
    wanted = greedy([network[2].weight.detach().flatten(1)], windows, units)
    (score,) = scores.values()
    assert score.tolist() == pytest.approx(wanted, rel=1e-5)
