"""What single operations do with labels: those that join, reduce, write, or look along a dimension."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.operations import operation_name
from tests.secateur.channels.followed import follow

MEET = "they meet the image, or constants, channel by channel"
CUT = "the network divides them at a fixed place"
ATEN = torch.ops.aten


def of(reason, *labels):
    return dict.fromkeys(labels, reason)


def unknown(name, *labels):
    return of(f"nothing is known of what {name} does with them", *labels)


def together(name, *labels):
    return of(f"{name} takes them together", *labels)


def written_into_a_part(source):
    whole = torch.zeros(2, 3)
    part = whole[:, :2]
    part.copy_(source)
    return whole, part


def written_into_a_row(source):
    whole = torch.zeros(2, 3)
    row = whole[0]
    row.copy_(source)
    return row, whole


#: By name: a function, shapes of what it reads, the labels of what it puts out, what goes together, and what stays.
OPERATIONS = {
    "a constant of a size": (lambda x: x.new_zeros(2), [(2,)], [None], {}, {}),
    "like another": (torch.zeros_like, [(2, 1)], [([0, 1], [2])], {}, {}),
    "in place": (lambda x, y: x.add_(y), [(2,), (2,)], [([0, 1],)], {2: 0, 3: 1}, {}),
    "what has no labels": (lambda x, y: x.relu(), [(-2, -3), (1,)], [(None, None)], {}, {}),
    "a number": (lambda x: x.item(), [(1,)], [], {}, {}),
    "unknown": (torch.tril, [(2, 2)], [(None, None)], {}, unknown("tril", 0, 1, 2, 3)),
    # Joined.
    "cat": (lambda *two: torch.cat(two, 1), [(2, 3), (2, 1)], [([0, 1], [2, 3, 4, 7])], {5: 0, 6: 1}, {}),
    "cat of three, from behind": (
        lambda *three: torch.cat(three, -1), [(1, 2), (1, 1), (1, 1)], [([0], [1, 2, 4, 6])], {3: 0, 5: 0}, {}
    ),
    "cat in front": (lambda *two: torch.cat(two), [(1, 2), (2, 2)], [([0, 3, 4], [1, 2])], {5: 1, 6: 2}, {}),
    "cat with constants": (
        lambda x: torch.cat([x, torch.zeros(2, 2)], 1), [(2, 3)], [([0, 1], [2, 3, 4, -1, -1])], {}, of(MEET, 0, 1)
    ),
    "cat without labels": (lambda *two: torch.cat(two, 1), [(2, -3), (2, -1)], [([0, 1], None)], {2: 0, 3: 1}, {}),
    "cat with nothing": (lambda x: torch.cat([torch.zeros(0), x], 1), [(2, 3)], [([0, 1], [2, 3, 4])], {}, {}),
    "stack": (lambda *two: torch.stack(two), [(2,), (2,)], [(None, [0, 1])], {2: 0, 3: 1}, {}),
    "stack behind": (lambda *two: torch.stack(two, -1), [(2,), (2,)], [([0, 1], None)], {2: 0, 3: 1}, {}),
    # Reduced.
    "sum": (lambda x: x.sum(-1), [(2, 3)], [([0, 1],)], {}, {}),
    "sum, kept": (lambda x: x.sum(1, keepdim=True), [(2, 3)], [([0, 1], None)], {}, {}),
    "sum of all": (lambda x: x.sum(), [(2, 3)], [()], {}, unknown("sum", *range(5))),
    "length": (lambda x: torch.linalg.vector_norm(x, dim=0), [(2, 3)], [([2, 3, 4],)], {}, {}),
    "mean": (lambda x: x.mean(0), [(2, 3)], [([2, 3, 4],)], {}, together("mean", 0, 1)),
    "mean, kept": (lambda x: x.mean(0, True), [(2, 3)], [(None, [2, 3, 4])], {}, together("mean", 0, 1)),
    "mean of all": (lambda x: x.mean(dim=[]), [(2, 1)], [()], {}, together("mean", 0, 1, 2)),
    "of two dimensions": (
        lambda x: x.amax((0, -1)), [(2, 3, 2)], [([2, 3, 4],)], {}, together("amax", 0, 1, 5, 6)
    ),
    "with places": (lambda x: x.max(1), [(2, 3)], [([0, 1],)] * 2, {}, together("max", 2, 3, 4)),
    # Along a dimension.
    "softmax": (lambda x: x.softmax(1), [(2, 3)], [([0, 1], None)], {}, together("softmax", 2, 3, 4)),
    "cumsum": (lambda x: x.cumsum(0), [(2, 3)], [(None, [2, 3, 4])], {}, together("cumsum", 0, 1)),
    "sort": (lambda x: x.sort(), [(2, 1, 2)], [([0, 1], [2], None)] * 2, {}, together("sort", 3, 4)),
    # Along the last dimensions.
    "pooling": (
        lambda x: functional.max_pool2d(x, 2, return_indices=True), [(1, 2, 2, 4)], [([0], [1, 2], None, None)] * 2, {},
        of("max_pool2d_with_indices mixes them", *range(3, 9)),
    ),
    "resizing": (
        lambda x: functional.interpolate(x, scale_factor=2), [(1, 2, 2)], [([0], [1, 2], None)], {},
        of("upsample_nearest1d mixes them", 3, 4),
    ),
    # Written into.
    "copy": (lambda x, y: x.copy_(y), [(2, 3), (3,)], [([0, 1], [2, 3, 4])], {5: 2, 6: 3, 7: 4}, {}),
    "copy, not blocking": (
        lambda x, y: x.copy_(y, non_blocking=True), [(2,), (2,)], [([0, 1],)], {2: 0, 3: 1}, {}
    ),
    "copy into a part": (written_into_a_part, [(2, 2)], [([0, 1], None)] * 2, {}, of(CUT, 2, 3)),
    "copy into a part with labels": (
        lambda x, y: (x[:, :2].copy_(y), x), [(2, 3), (2, -2)], [([0, 1], None), ([0, 1], [2, 3, 4])],
        {5: 0, 6: 1}, of(CUT, 2, 3, 4),
    ),
    "copy into a row": (written_into_a_row, [(3,)], [([0, 1, 2],), None], {}, {}),
    "copy of one": (lambda x, y: x.copy_(y), [(3,), (1,)], [([0, 1, 2],)], {}, of(CUT, 3)),
    # Gated.
    "glu": (functional.glu, [(2, 1, 4)], [([0, 1], [2], [3, 4])], {5: 3, 6: 4}, {}),
    "glu of another dimension": (lambda x: functional.glu(x, 0), [(2, 3)], [([0], [2, 3, 4])], {1: 0}, {}),
    "glu without labels": (functional.glu, [(2, -4)], [([0, 1], None)], {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_does_with_labels_what_it_does_with_numbers(name):
    function, inputs, results, coupled, held = OPERATIONS[name]
    assert follow(function, *inputs) == (results, coupled, held, {})


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (ATEN.add_.Tensor, "add"),
        (ATEN.relu.default, "relu"),
        (ATEN._softmax.default, "_softmax"),
        (ATEN.__lshift__.Scalar, "__lshift__"),
    ],
)
def test_an_operation_in_place_has_the_name_of_the_other(operation, name):
    assert operation_name(operation) == name


# The norm has three numbers, with the labels 0 to 2.
@pytest.mark.parametrize(
    ("function", "averages", "held"),
    [
        (lambda x: x.mean(1), {("", -2): [5, 6, 7]}, {}),
        (lambda x: x.mean(-2), {("", -2): [5, 6, 7]}, {}),
        (lambda x: x.mean((0, 1)), {("", -2): [5, 6, 7]}, together("mean", 3, 4)),
        (lambda x: x.var(1, correction=0), {("", -2): [5, 6, 7]}, {}),
        (lambda x: x.var(1, correction=1), {}, together("var", 5, 6, 7)),
        (lambda x: x.amax(1), {}, together("amax", 5, 6, 7)),
        (lambda x: x.sum(1), {}, {}),
        (lambda x: x.mean(2), {}, together("mean", 8)),
    ],
)
def test_a_norm_of_as_many_numbers_takes_statistics_and_nothing_else_does(function, averages, held):
    found = follow(function, (2, 3, 1), network=nn.PReLU(3))
    assert (found.averages, found.held) == (averages, held)


def test_statistics_of_what_has_no_labels_are_no_norm():
    assert follow(lambda x: x.mean(1), (2, -3), network=nn.PReLU(3)) == ([([3, 4],)], {}, {}, {})
