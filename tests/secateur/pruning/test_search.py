"""The search for the sparsity that meets a budget, by numbers that a made-up measurement gives one after another."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import secateur
from secateur.criterions.L1Norm import L1Norm
from secateur.pruning import budget
from secateur.pruning.budget import Meter, aim, conclude
from secateur.utils.errors import UserError

IMAGES = torch.rand(4, 2, 4, 4, generator=torch.Generator().manual_seed(1))
BATCHES = [(IMAGES, torch.arange(4) % 2)]


class Numbers(Meter):
    """Measures what it was told to, and remembers which sparsity was measured how often."""

    def __init__(self, text, numbers):
        super().__init__([text], nn.Linear(2, 2))
        self.numbers, self.seen = list(numbers), []

    def measure(self, network, example, rounds=3):
        self.seen.append((network, rounds))
        number = self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]
        return {self.targets[0].name: number(network) if callable(number) else number}


@pytest.fixture
def searching(monkeypatch):
    """Make a criterion whose copies at a sparsity are the sparsity; `told` is what the progress bar was told."""
    told = []

    @contextlib.contextmanager
    def progress_bar(total, what):
        told.append((total, what))
        yield lambda done, what: told.append((done, what))

    monkeypatch.setattr(budget, "progress_bar", progress_bar)
    monkeypatch.setattr(budget, "_twins", lambda criterion, batches, epoch: lambda sparsity: sparsity)

    def make(numbers, text="params=1000", **fields):
        known = {"estimate": None, "regrowth": None, "smoke": False, "execution": "sparse", "example": IMAGES[:1]}
        known["autocast"] = contextlib.nullcontext
        return SimpleNamespace(meter=Numbers(text, numbers), network=0.25, budgets=[], **(known | fields))

    make.told = told
    return make


def tried(criterion):
    return [one["sparsity"] for one in criterion.budgets[-1]["tried"]]


def test_halves_and_lines_take_turns_between_too_much_and_too_little(searching):
    """A line leads to 0.9975 of what is asked, the middle of what is near enough."""
    criterion = searching([1995, 900, 1095, 1500, 950, 1045, 1000])
    assert aim(criterion, 0.9, [], 7, last=True) == criterion.estimate == tried(criterion)[-1]
    # 0.9975 / 1.995; half of it; 0.0975 / 0.195; half; 0.5025 / 0.55; half
    expected = [0.0, 0.5, 0.25, 0.375, 0.4375, 0.375 + 0.0625 * 0.5025 / 0.55]
    expected.append((expected[5] + 0.4375) / 2)
    assert tried(criterion) == pytest.approx(expected)
    (record,) = criterion.budgets
    assert (record["asked"], record["epoch"]) == (["params=1000"], 7)
    assert record["tried"][2] == {"sparsity": 0.25, "params": 1095, "excess": 1.095}
    assert [rounds for _, rounds in criterion.meter.seen] == [3] * 7
    assert criterion.meter.execution == "sparse"
    assert criterion.meter.autocast is criterion.autocast
    assert searching.told[:3] == [
        (14, "sparsities tried"),
        (1, "sparsity 0.0000: 1.995 of what is asked"),
        (1, "sparsity 0.5000: 0.900 of what is asked"),
    ]
    assert len(searching.told) == 8


@pytest.mark.parametrize(
    ("text", "numbers", "found"),
    [
        ("params=1000", [2000, 995], 1.0025 / 2),
        ("params=1000", [2000, 1000], 1.0025 / 2),
        ("params=1000", [2000, 994, 1000], 1.0025 / 4),
        ("params=1000", [2000, 1001, 1000], 1.0025 / 4 + 0.5),
        ("params=1000", [1000], 0.0),
        ("params=1000", [20], 0.0),
        ("params=1000", [5000000, 1000], 0.999),
        ("latency=1s", [2.0, 1.035, 1.035], 0.985 / 2),
        ("latency=1s", [2.0, 0.995, 0.995], 0.985 / 2),
        ("latency=1s", [2.0, 1.036, 1.036, 1.0, 1.0], 0.985 / 4 + 0.5),
        ("latency=1s", [2.0, 0.994, 0.994, 1.0, 1.0], 0.985 / 4),
        ("latency=1s", [0.5], 0.0),
    ],
)
def test_it_ends_where_what_is_left_is_near_enough(searching, text, numbers, found):
    criterion = searching(numbers, text)
    assert aim(criterion, 0.9, [], 0, last=True) == pytest.approx(found)
    assert len(criterion.meter.seen) == len(numbers)


def test_what_is_near_by_the_clock_is_timed_more_often_and_only_that_counts(searching):
    criterion = searching([2.0, 1.0, 1.2, 0.95, 0.9, 1.05, 1.5, 0.949, 1.051, 1.01, 1.02], "latency=1s")
    assert aim(criterion, 0.9, [], 0, last=True) == tried(criterion)[-1]
    assert [rounds for _, rounds in criterion.meter.seen] == [3, 3, 9, 3, 9, 3, 9, 3, 3, 3, 9]
    assert [one["excess"] for one in criterion.budgets[0]["tried"]] == [2.0, 1.2, 0.9, 1.5, 0.949, 1.051, 1.02]


def test_where_a_layer_goes_all_at_once_the_last_that_is_below_stays(searching):
    criterion = searching([lambda sparsity: 1900 if sparsity < 0.6 else 700 if sparsity < 0.7 else 600])
    found = aim(criterion, 0.9, [], 0, last=True)
    assert len(tried(criterion)) == 14
    assert found == next(sparsity for sparsity in tried(criterion) if 0.6 <= sparsity < 0.7)
    assert tried(criterion)[2] > 0.7
    assert min(abs(sparsity - 0.6) for sparsity in tried(criterion)) < 5e-3


@pytest.mark.parametrize(
    ("numbers", "where"),
    [
        ([lambda sparsity: 4000 - 2000 * sparsity], "params=2,000, at sparsity above 0.9999"),
        ([4000, lambda sparsity: 1500 if sparsity < 0.8 else 1600], "params=1,500, at sparsity 0.7506"),
    ],
)
def test_what_is_never_reached_is_told_with_the_nearest(searching, numbers, where):
    criterion = searching(numbers)
    with pytest.raises(UserError) as raised:
        aim(criterion, 0.9, [], 0, last=True)
    assert str(raised.value) == f"--target params=1000 cannot be reached: the nearest is {where}"
    assert len(tried(criterion)) == 14


@pytest.mark.parametrize(("numbers", "found"), [([4000, 3000], 0.750625), ([3000, 4000], 0.0), ([4000, 10], 0.750625)])
def test_a_smoke_run_tries_two_and_takes_the_nearest(searching, numbers, found):
    criterion = searching(numbers, smoke=True)
    assert aim(criterion, 0.9, [], 0, last=True) == pytest.approx(found)
    assert len(tried(criterion)) == 2


@pytest.mark.parametrize(
    ("estimate", "sparsity", "regrowth", "last", "expected", "searches"),
    [
        (0.8, 0.45, None, False, 0.4, 0),
        (0.8, 0.9, None, False, 1 - 0.2 * 1.1, 0),  # the last step may find that less is needed
        (0.05, 0.9, None, False, 0.0, 0),
        (0.8, 0.9, None, True, 0.0, 1),
        (0.8, 0.45, "zero", False, 0.8, 0),
        (0.8, 0.9, "zero", True, 0.8, 0),
        (None, 0.9, None, False, 0.0, 1),
        (None, 0.9, "value", True, 0.0, 1),
    ],
)
def test_steps_before_the_last_one_leave_more_than_what_is_thought_to_be_left(
    searching, estimate, sparsity, regrowth, last, expected, searches
):
    criterion = searching([500], estimate=estimate, regrowth=regrowth)
    assert aim(criterion, sparsity, [], 0, last) == pytest.approx(expected)
    assert len(criterion.budgets) == searches


def test_in_the_end_it_is_measured_once_more_and_told(searching):
    criterion = searching([1234], estimate=0.75)
    criterion.budgets += [{"epoch": 1}, {"epoch": 2}]
    assert conclude(criterion) == ["--target params=1000: reached params=1,234 at sparsity 0.75"]
    assert criterion.meter.seen == [(0.25, 9)]
    assert criterion.budgets == [
        {"epoch": 1}, {"epoch": 2, "sparsity": 0.75, "params": {"asked": 1000.0, "reached": 1234}},
    ]  # fmt: skip


def small():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(2, 6, 1), nn.Conv2d(6, 20, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 10),
        nn.Linear(10, 2),
    )  # fmt: skip


def test_layers_with_a_sparsity_of_their_own_have_it_whatever_is_tried():
    options = {"target": "params=0.6", "layer_sparsity": ["4=0.25"], "outer_layer_pruning": True}
    one, dense = small(), sum(parameter.numel() for parameter in small().parameters())
    result = secateur.prune(one, "Magnitude", batches=BATCHES, **options)
    assert int(one[4].weight.count_nonzero()) == 150
    left = sum(int(parameter.count_nonzero()) for parameter in one.parameters())
    assert 0.995 <= left / (0.6 * dense) <= 1
    assert result.pruner.criterion.budgets[-1]["tried"][-1]["params"] == left


def test_scores_of_channels_too_are_computed_once_for_all_that_is_tried():
    seen = []

    class Counted(L1Norm):
        def channel_scores(self, batches):
            seen.append(self)
            return super().channel_scores(batches)

    result = secateur.prune(small(), Counted, target="params=0.5", batches=BATCHES)
    criterion = result.pruner.criterion
    assert len(criterion.budgets[-1]["tried"]) > 1
    assert len(seen) == 2  # and once for what is done
    assert seen[1] is criterion
    assert seen[0].network is not criterion.network
    assert (seen[0].example is criterion.example, seen[0].meter is criterion.meter) == (True, True)


def test_a_criterion_that_prunes_in_a_way_of_its_own_is_asked_anew_each_time():
    seen = []

    class Own(secateur.Criterion):
        def scores(self, batches):
            return {name: weight.abs() for name, weight in self.weights.items()}

        def prune(self, sparsity, batches, epoch=0, last=False):
            seen.append((sparsity, epoch, last))
            return super().prune(sparsity, batches, epoch, last)

    result = secateur.prune(small(), Own, target="params=0.5", batches=BATCHES, outer_layer_pruning=True)
    tried = [one["sparsity"] for one in result.pruner.criterion.budgets[-1]["tried"]]
    assert [sparsity for sparsity, _, _ in seen] == [*tried, result.pruner.criterion.estimate]
    assert [last for _, _, last in seen] == [False] * len(tried) + [True]
