"""What surgery tries before it removes channels: of which ones, on what numbers, and how far outputs may be apart."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.channels.surgery import Held, Surgery, _probe, _vary, computed, relative_difference

INFINITE, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("units", "number", "tried"),
    [
        (1, 0, [0]),
        (2, 1, [0]),
        (3, 0, [0]),
        (5, 1, [0]),
        (6, 0, [0, 5]),
        (8, 1, [0, 7]),
        (9, 0, [0, 8]),
        (9, 1, [0, 8, 4]),
        (10, 1, [0, 9, 5]),
        (12, 2, [0, 11]),
        (12, 3, [0, 11, 6]),
    ],
)
def test_of_one_group_two_units_are_tried_and_of_the_next_three_but_no_more_than_a_third(units, number, tried):
    assert _probe(SimpleNamespace(units=range(units), removable=list), number) == tried


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([3.0, 2.0], [1.0, -4.0], 1.5),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([0.0, 0.25], [0.0, 0.0], 0.25),
        ([NAN, 1.0], [NAN, 2.0], 0.5),
        ([NAN, 0.25], [NAN, 0.5], 0.5),
        ([INFINITE, 0.25], [INFINITE, 0.5], 0.5),
        ([NAN, 1.0], [3.0, 2.0], INFINITE),
        ([3.0, 1.0], [NAN, 2.0], INFINITE),
        ([INFINITE, 1.0], [INFINITE, 2.0], 0.5),
        ([1.0], [1.0, 2.0], INFINITE),
    ],
)
def test_outputs_differ_relative_to_the_largest_that_is_expected(found, expected, difference):
    assert relative_difference(torch.tensor(found), torch.tensor(expected)) == difference


def test_an_infinity_that_is_not_expected_is_far_off():
    assert relative_difference(torch.tensor([INFINITE, 1.0]), torch.tensor([3.0, 2.0])) > 1e37
    assert relative_difference(torch.tensor([-INFINITE, 1.0]), torch.tensor([INFINITE, 2.0])) > 1e37


def test_several_outputs_are_as_far_apart_as_the_furthest_of_them():
    def outputs(*numbers):
        one, other, third = numbers
        return {"first": torch.tensor([one, 1.0]), "more": [torch.tensor([[other]]), (torch.tensor(third), "text")]}

    assert relative_difference(outputs(1.0, 2.0, 8.0), outputs(1.0, 4.0, 8.0)) == 0.25
    assert relative_difference(outputs(0.0, 4.0, 8.0), outputs(1.0, 4.0, 8.0)) == 0.125
    other = outputs(1.0, 4.0, 8.0)
    other["more"][0] = torch.tensor([4.0])
    assert relative_difference(other, outputs(1.0, 4.0, 8.0)) == INFINITE
    assert relative_difference("text", "text") == 0


class Typed(nn.Module):
    """Puts out the types of what it reads and makes, and whether it is in training."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Embedding(3, 2)

    def forward(self, images):
        made = self.layer(images) if images.dtype == torch.int64 else images * 2
        return images.dtype, made.dtype, self.training


def test_outputs_are_computed_in_evaluation_mode_and_exactly_in_float64():
    network, images, numbers = Typed().train(), torch.rand(1, 2), torch.zeros(1, 2, dtype=torch.int64)
    assert computed(network, images, exact=True) == (torch.float64, torch.float64, False)
    assert computed(network, images, exact=False) == (torch.float32, torch.float32, False)
    assert computed(network, numbers, exact=True) == (torch.int64, torch.float64, False)
    assert computed(network, numbers, exact=False) == (torch.int64, torch.float32, False)
    assert network.training


@torch.no_grad()
def test_equal_numbers_are_drawn_anew_and_small_weights_are_made_larger():
    network = nn.ParameterList(
        [
            torch.empty(0, 3),
            torch.full((4,), 7.0),
            torch.tensor([0.1, 0.2]),
            torch.tensor([[0.1, -0.1, 0.1, -0.1], [0.1, -0.1, 0.1, -0.1]]),
            torch.tensor([[5.0, 1.0], [3.0, 7.0]]),
            torch.ones(2, 4),
            torch.cat([torch.ones(1, 4096), torch.full((1, 4096), 2.0)]),
            torch.cat([torch.tensor([[0.02, -0.02]]).repeat(1, 2048), torch.zeros(1, 4096)]),
        ]
    )
    before = [parameter.clone() for parameter in network]
    _vary(network, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    assert network[1].equal(torch.rand(4, generator=generator) + 0.5)
    assert network[2].equal(before[2])
    # Four numbers are read: they are to deviate by 1/2, and do by 0.1 (8/7) ** 0.5.
    torch.testing.assert_close(network[3], before[3] * 5 * (7 / 8) ** 0.5)
    assert network[4].equal(before[4])
    assert network[5].equal(torch.rand(2, 4, generator=generator) + 0.5)
    assert network[6].equal(before[6])
    # The first 4096 deviate by more than 1/64, and are large enough.
    assert network[7].equal(before[7])


class Adding(nn.Module):
    """Two layers, and by how much more the sum is than without channels."""

    def __init__(self, width, more):
        super().__init__()
        self.one, self.other, self.more = nn.Linear(3, width), nn.Linear(width, 3), more

    def forward(self, images):
        hidden = self.one(images).relu()
        return self.other(hidden) + self.more * hidden.detach().numpy().shape[-1]


def test_each_removal_that_breaks_the_law_is_found_among_those_that_keep_it():
    class Sum(nn.ModuleList):
        def forward(self, images):
            return sum(module(images) for module in self)

    network = Sum([Adding(4, more) for more in (0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0)])
    removals = [(f"{number}.one", [0]) for number in range(7)]
    surgery = Surgery(network, torch.rand(1, 3), roots=[root for root, _ in removals])
    broken = surgery.breaches(iter(removals))
    assert list(broken) == ["1.one", "4.one", "6.one"]
    assert all(why.startswith("without some of them the outputs are ") for why in broken.values())
    assert all(why.endswith(" off what they are with zeros") for why in broken.values())
    assert surgery.breaches([]) == {}
    assert surgery.breaches([removals[0], removals[2]]) == {}
    assert network[0].one.out_features == 4


def test_a_network_that_does_not_run_without_some_channels_is_told_so():
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, images):
            hidden = self.one(images).relu()
            if hidden.detach().numpy().shape[-1] != 4:
                raise ValueError("there are\nfour")
            return self.other(hidden)

    surgery = Surgery(Strict(), torch.rand(1, 3))
    reason = "the network does not run without some of them (ValueError: there are four)"
    assert surgery.fixed == {"one": Held(4, 4, reason)}


class Off(nn.Module):
    """By how much more, relative to what it puts out, it puts out for each channel that has gone."""

    def __init__(self, off, single=False):
        super().__init__()
        self.one, self.other, self.off, self.single = nn.Linear(3, 4), nn.Linear(4, 1), off, single

    def forward(self, images):
        if self.single and images.dtype == torch.float64:
            raise RuntimeError("in single precision alone")
        hidden = self.one(images)
        outputs = self.other(hidden)
        return torch.ones_like(outputs) + 0 * outputs + (4 - hidden.detach().numpy().shape[-1]) * self.off


@pytest.mark.parametrize(
    ("off", "single", "roughly", "breaks"),
    [
        (5e-7, False, False, False),
        (2e-6, False, False, True),
        (2e-6, False, True, False),
        (5e-5, False, True, False),
        (2e-4, False, True, True),
        (5e-5, True, False, False),
        (2e-4, True, False, True),
    ],
)
def test_outputs_may_differ_by_rounding_alone(off, single, roughly, breaks):
    surgery = Surgery(Off(off, single), torch.rand(1, 3), roots=["one"])
    assert bool(surgery.breaches([("one", [0])], roughly)) == breaks
    assert roughly or bool(surgery.breaches([("one", [0])])) == breaks


def test_groups_are_tried_roughly_at_first():
    assert list(Surgery(Off(5e-5), torch.rand(1, 3)).groups) == ["one"]
    surgery = Surgery(Off(2e-4), torch.rand(1, 3))
    assert surgery.groups == {}
    reason = "without some of them the outputs are 2.0e-04 off what they are with zeros"
    assert surgery.fixed == {"one": Held(4, 4, reason)}


def test_removals_that_keep_the_law_apart_are_tried_together():
    class Either(nn.Module):
        """Puts out more once two layers have lost channels."""

        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(2, 3) for _ in range(3))
            self.last = nn.Linear(9, 2)

        def forward(self, images):
            hidden = [layer(images) for layer in (self.one, self.two, self.three)]
            gone = sum(each.detach().numpy().shape[-1] < 3 for each in hidden)
            return self.last(torch.cat(hidden, 1)) + (gone > 1)

    roots = ["one", "two", "three"]
    surgery = Surgery(Either(), torch.rand(1, 2), roots=roots)
    assert list(surgery.breaches([(root, [1]) for root in roots])) == ["two", "three"]
    assert surgery.breaches([("three", [1])]) == {}
