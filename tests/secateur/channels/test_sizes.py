"""Numbers that know where they come from, and what is counted by them."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.sizes import Count, Shape, attributes_counted, set_attribute
from secateur.channels.surgery import Surgery
from tests.secateur.channels.followed import follow

CUT = "the network divides them at a fixed place"
FIXED = "the network counts them by what cannot change"
SCALED = "attention is scaled by their number"


def of(reason, *labels):
    return dict.fromkeys(labels, reason)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda number: number + 2, 9),
        (lambda number: 2 + number, 9),
        (lambda number: number - 2, 5),
        (lambda number: 2 - number, -5),
        (lambda number: number * 2, 14),
        (lambda number: 2 * number, 14),
        (lambda number: number // 2, 3),
        (lambda number: 15 // number, 2),
    ],
)
def test_what_is_computed_of_a_size_is_one_without_an_origin(compute, expected):
    number = Count(7)
    number.attribute = ("", "width", 0)
    found = compute(number)
    assert (type(found), found, found.attribute, found.axis) == (Count, expected, None, None)


def test_what_is_no_whole_number_is_no_size_and_roots_are_remembered():
    number = Count(4)
    Count.roots.clear()
    assert (number + 0.5, number * 0.5, number - 0.5) == (4.5, 2.0, 3.5)
    assert type(number * 0.5) is float
    assert Count.roots == []
    assert (number**0.5, number**2, math.sqrt(number)) == (2.0, 16, 2.0)
    assert len(Count.roots) == 3
    assert all(size is number for size in Count.roots)
    Count.roots.clear()


def test_a_shape_counts_its_numbers():
    number = Shape((Count(2), Count(3), Count(4))).numel()
    assert (type(number), number) == (Count, 24)
    assert Shape().numel() == 1


# One tensor (2, 6) with the labels 0 and 1, and 2 to 7, another (3, 2) with 8 to 10, and 11 and 12.
@pytest.mark.parametrize(
    ("sizes", "result", "together", "held"),
    [
        # Three rows, as many as the other has: the six are divided by them.
        (lambda x, y: (2, y.shape[0], -1), ([0, 1], [8, 9, 10], [16, 17]), {}, {}),
        (lambda x, y: (2, y.size(0), 2), ([0, 1], [2, 4, 6], None), {3: 2, 5: 4, 7: 6, 8: 2, 9: 4, 10: 6}, {}),
        (lambda x, y: (2, 3, y.size(-1)), ([0, 1], None, [2, 3]), {4: 2, 5: 3, 6: 2, 7: 3, 11: 2, 12: 3}, {}),
        (lambda x, y: (2, 3, y.size(dim=1)), ([0, 1], None, [2, 3]), {4: 2, 5: 3, 6: 2, 7: 3, 11: 2, 12: 3}, {}),
        (lambda x, y: (2, 3, y.size()[1]), ([0, 1], None, [2, 3]), {4: 2, 5: 3, 6: 2, 7: 3, 11: 2, 12: 3}, {}),
        (lambda x, y: (x.shape[0], *y.shape), ([0, 1], [8, 9, 10], [11, 12]), {}, {}),
        # As many columns as rows.
        (lambda x, y: (2, 3, x.shape[0]), ([0, 1], None, [0, 1]), {2: 0, 3: 1, 4: 0, 5: 1, 6: 0, 7: 1}, {}),
        # As many as a tensor has that has no labels.
        (
            lambda x, y: (2, 3, torch.ones(2).shape[0]), ([0, 1], None, [2, 3]), {4: 2, 5: 3, 6: 2, 7: 3},
            of(FIXED, 2, 3),
        ),
    ],
)  # fmt: skip
def test_dimensions_are_as_long_as_those_that_they_are_counted_by(sizes, result, together, held):
    for see in (
        lambda x, y: x.view(sizes(x, y)),
        lambda x, y: x.view(*sizes(x, y)),
        lambda x, y: x.reshape(shape=sizes(x, y)),
        lambda x, y: x.unflatten(1, sizes(x, y)[1:]),
        lambda x, y: x.unflatten(dim=-1, sizes=sizes(x, y)[1:]),
    ):
        found = follow(see, (2, 6), (3, 2), sized=True)
        assert found == ([result], together, held, {})


def test_sizes_that_are_no_numbers_are_none_that_are_given():
    seen = follow(lambda x: x.view(2, torch.tensor(3)), (6,), sized=True)
    assert seen == ([([6, 7], [8, 9, 10])], {}, {}, {})


def test_constants_are_counted_by_nothing():
    padded = follow(lambda x, y: functional.pad(x, (0, 1)).view(y.shape[0]), (5,), (6,), sized=True)
    assert padded == ([([0, 1, 2, 3, 4, -1],)], {}, {}, {})


def test_what_lies_behind_a_dimension_that_is_divided_stays_as_it_is():
    found = follow(lambda x: x.unflatten(1, (2, -1)), (-1, 4, 2, 2), sized=True)
    assert found == ([(None, None, [0, 1], [4, 5], [6, 7])], {2: 0, 3: 1}, {}, {})
    found = follow(lambda x: x.unflatten(0, (-1, 2)), (4, 2), sized=True)
    assert found == ([([0, 2], None, [4, 5])], {1: 0, 3: 2}, {}, {})


ALIKE = {6: 0, 7: 1, 8: 2, 9: 3, 10: 4, 11: 5}
HALVES = {2: 0, 3: 1, 4: 0, 5: 1}


# Six channels in parts as long as others, which are 6 and 7, and 8 to 11.
@pytest.mark.parametrize(
    ("cut", "results", "together", "held"),
    [
        (lambda x, y, z: x.split([len(y), 4]), [([0, 1],), ([0, 1, 0, 1],)], HALVES, of(CUT, 0, 1)),
        (
            lambda x, y, z: x.split([y.shape[0], 4]),
            [([0, 1],), ([0, 1, 0, 1],)],
            HALVES | {6: 0, 7: 1},
            of(CUT, 0, 1),
        ),
        (lambda x, y, z: x.split([y.shape[0], z.shape[0]]), [([0, 1],), ([2, 3, 4, 5],)], ALIKE, {}),
        (
            lambda x, y, z: torch.split(x[None], [y.size(0), z.size(0)], dim=1),
            [(None, [0, 1]), (None, [2, 3, 4, 5])],
            ALIKE,
            {},
        ),
        (
            lambda x, y, z: x[None].split([y.size(0), z.size(0)], -1),
            [(None, [0, 1]), (None, [2, 3, 4, 5])],
            ALIKE,
            {},
        ),
        (
            lambda x, y, z: x[None].split_with_sizes([y.size(0), z.size(0)], 1),
            [(None, [0, 1]), (None, [2, 3, 4, 5])],
            ALIKE,
            {},
        ),
        (
            lambda x, y, z: x.split_with_sizes(split_sizes=[y.shape[0], z.shape[0]]),
            [([0, 1],), ([2, 3, 4, 5],)],
            ALIKE,
            {},
        ),
        (lambda x, y, z: x.split(y.shape[0]), [([0, 1],)] * 3, HALVES | {6: 0, 7: 1}, {}),
        (lambda x, y, z: x.split(2), [([0, 1],)] * 3, HALVES, {}),
        # After a cut that follows, one at a fixed place.
        (
            lambda x, y, z: (x.split([y.shape[0], z.shape[0]]), x[:4])[1:],
            [([0, 1, 2, 3],)],
            ALIKE,
            of(CUT, *range(6)),
        ),
    ],
)
def test_a_tensor_is_cut_where_sizes_say_that_follow(cut, results, together, held):
    assert follow(cut, (6,), (2,), (4,), sized=True) == (results, together, held, {})


def test_norms_over_as_many_as_there_are_are_counted_by_them():
    found = follow(lambda x, y: functional.layer_norm(x, y.shape), (2, 3), (3,), sized=True)
    assert found[:3] == ([([0, 1], [2, 3, 4])], {5: 2, 6: 3, 7: 4}, {})
    named = follow(lambda x: torch.layer_norm(x, normalized_shape=[3]), (2, 3), sized=True)
    assert named[:3] == ([([0, 1], [2, 3, 4])], {}, {})
    assert found.averages == named.averages == {("", -1): [2, 3, 4]}


@pytest.mark.parametrize(
    ("root", "held"),
    [
        (lambda y: (y.shape[0] - 1) ** -0.5, of(SCALED, 0, 3)),
        (lambda y: math.sqrt(y.shape[0] // 1 - 1), of(SCALED, 0, 3)),
        (lambda y: (y.shape[0] + 1) ** -0.5, {}),
        (lambda y: y.shape[1] ** 0.5, {}),  # two as well, but the other tensor's own
    ],
)
def test_computed_sizes_whose_roots_are_taken_stay(root, held):
    # Six are divided by one less than the three of another tensor.
    found = follow(lambda x, y: (x.view(2, y.shape[0] - 1, 3), root(y)), (-2, 6), (3, 2), sized=True)
    assert found == ([(None, [0, 3], None)], {1: 0, 2: 0, 4: 3, 5: 3}, held, {})


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.width, self.sizes, self.pair = 4, [2, 3], (5, 7)
        self.flag, self.mixed, self.none, self.rate = True, [1, 2.0], (), 0.5
        self.changed = 8
        self.layer = nn.Linear(3, 4)


def test_whole_numbers_of_modules_know_where_they_are_from_for_a_while():
    network = nn.Sequential(Own())
    own = network[0]
    with attributes_counted(network):
        assert own.width.attribute == ("0", "width", 0)
        assert [size.attribute for size in own.sizes] == [("0", "sizes", 0), ("0", "sizes", 1)]
        assert [size.attribute for size in own.pair] == [("0", "pair", 0), ("0", "pair", 1)]
        assert (own.width, own.sizes, own.pair) == (4, [2, 3], (5, 7))
        others = (own.flag, *own.mixed, own.rate, own.layer.in_features)
        assert not any(isinstance(number, Count) for number in others)
        assert own.none == ()
        own.changed = 9
    assert [type(number) for number in (own.width, *own.sizes, *own.pair)] == [int] * 5
    assert (type(own.sizes), type(own.pair), own.changed) == (list, tuple, 9)


def test_attributes_are_what_they_were_after_an_error():
    own = Own()
    with pytest.raises(ZeroDivisionError), attributes_counted(own):
        own.width // 0
    assert type(own.width) is int


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [("width", 0, 9), ("sizes", 0, [9, 3]), ("sizes", 1, [2, 9]), ("pair", 1, (5, 9)), ("pair", 0, (9, 7))],
)
def test_one_of_several_numbers_is_set(name, place, expected):
    own = Own()
    set_attribute(own, ("anywhere", name, place), 9)
    assert getattr(own, name) == expected
    assert type(getattr(own, name)) is type(expected)


class Heads(nn.Module):
    """Scores are scaled by the root of the width of a head, which is an attribute."""

    def __init__(self, scaled):
        super().__init__()
        self.sizes, self.scaled = (2, 3), scaled
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, features):
        heads = self.first(features).view(len(features), *self.sizes)
        return self.last((heads * self.sizes[1] ** -0.5 if self.scaled else heads).flatten(1))


@pytest.mark.parametrize("scaled", [False, True])
def test_an_attribute_whose_root_is_taken_stays_and_others_follow(scaled):
    network, image = Heads(scaled), torch.rand(1, 4)
    surgery = Surgery(network, image)
    assert set(surgery.groups) == ({"first/1"} if scaled else {"first/0", "first/1"})
    surgery.remove([("first/1", [3, 4, 5])])
    assert network.sizes == (1, 3)
    assert network(image).shape == (1, 2)
