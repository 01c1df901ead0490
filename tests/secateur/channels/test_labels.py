"""Labels: which go together, which stay and why, and which are composed of others."""

import pytest
import torch
from torch import nn

from secateur.channels.labels import Labels
from secateur.channels.surgery import Surgery

CUT = "the network divides them at a fixed place"
COUNTED = "the network counts one by the other"


def of(classes, labels):
    return classes.of(torch.tensor(labels)).tolist()


def parts_of(classes, labels):
    return classes.parts_of(classes.of(torch.tensor(labels))).tolist()


def labels_of(*sizes):
    """Labels, and as many of them as each size says."""
    labels = Labels()
    return labels, *(labels.new(size) for size in sizes)


def test_labels_are_numbered_on():
    labels, two, three = labels_of(2, 3)
    assert (two.tolist(), three.tolist(), labels.count) == ([0, 1], [2, 3, 4], 5)
    classes = labels.classes()
    assert classes.count == 5
    assert classes.held == {}
    assert of(classes, [0, 4, -1]) == [0, 4, -1]
    assert parts_of(classes, [3, -1]) == [[3, -1]]
    assert classes.parts_of(torch.tensor([-1, -1])).tolist() == [[-1, -1]]


@pytest.mark.parametrize(
    ("pairs", "numbers"),
    [
        ([], [0, 1, 2, 3, 4, 5]),
        ([(0, 2), (4, 5)], [0, 1, 0, 3, 4, 4]),
        ([(5, 4), (4, 3), (3, 2), (2, 1)], [0, 1, 1, 1, 1, 1]),
        ([(0, 3), (1, 3)], [0, 0, 2, 0, 4, 5]),
        ([(0, 0), (1, -1), (-1, 1), (2, 3)], [0, 1, 2, 2, 4, 5]),
    ],
)
def test_labels_that_are_coupled_are_one_class_with_the_least_number(pairs, numbers):
    labels, _ = labels_of(6)
    for one, other in pairs:
        labels.couple(torch.tensor([one]), torch.tensor([other]), "they meet")
    assert of(labels.classes(), list(range(6))) == numbers


def test_what_meets_nothing_stays_for_the_first_reason_that_was_told():
    labels, some = labels_of(6)
    labels.couple(some, some, "with themselves")
    labels.hold(some[[1, 2]], "first")
    labels.couple(some[:3], torch.tensor([-1, 4, -1]), "second")
    labels.couple(torch.tensor([-1]), some[3:4], "third")
    labels.hold(some[3:5], "fourth")
    assert labels.classes().held == {0: "second", 1: "first", 2: "first", 3: "third"}


def test_labels_that_are_divided_are_composed_of_rows_and_columns():
    labels, six = labels_of(6)
    rows, columns = labels.split(six.view(2, 3))
    assert (rows.tolist(), columns.tolist()) == ([6, 7], [8, 9, 10])
    labels.hold(columns[:1], "it stays")
    classes = labels.classes()
    assert parts_of(classes, list(range(6))) == [[6, 6, 6, 7, 7, 7], [8, 9, 10, 8, 9, 10]]
    assert parts_of(classes, [0, -1, 6]) == [[6, -1, 6], [8, -1, -1]]
    assert parts_of(classes, [6, 8]) == [[6, 8]]
    assert classes.held == {8: "it stays"}
    assert classes.size_of(six) == (6, [[6, 7], [8, 9, 10]])
    assert classes.size_of(torch.tensor([10, 6, 10])) == (3, [[6, 10, 10]])
    gone = torch.zeros(11, dtype=torch.bool)
    gone[[7, 8]] = True
    assert classes.gone(gone).tolist() == [True, False, False, True, True, True, False, True, True, False, False]


def test_labels_that_were_composed_are_divided_into_what_they_were_composed_of():
    labels, rows, columns = labels_of(2, 3)
    six = labels.merge([rows.repeat_interleave(3), columns.repeat(2)])
    assert six.tolist() == [5, 6, 7, 8, 9, 10]
    assert [part.tolist() for part in labels.split(six.view(2, 3))] == [[0, 1], [2, 3, 4]]
    # Not along these dimensions, in other numbers of them, and of other labels.
    assert [part.tolist() for part in labels.split(six.view(3, 2))] == [[11, 12, 13], [14, 15]]
    assert [part.tolist() for part in labels.split(six.view(2, 3, 1))] == [[16, 17], [18, 19, 20], [21]]
    assert [part.tolist() for part in labels.split(labels.new(6).view(2, 3))] == [[28, 29], [30, 31, 32]]


def test_parts_that_lie_along_one_of_two_dimensions_are_others():
    labels, rows, columns = labels_of(2, 2)
    four = labels.merge([rows.repeat_interleave(2), columns[[0, 1, 1, 0]]])
    assert [part.tolist() for part in labels.split(four.view(2, 2))] == [[8, 9], [10, 11]]


def test_the_parts_of_what_goes_together_go_together():
    labels, one, other = labels_of(4, 4)
    for four in (one, other):
        labels.split(four.view(2, 2))
    labels.couple(one, other, "they meet")
    assert of(labels.classes(), list(range(16))) == [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]


def test_the_only_parts_that_differ_go_together():
    labels, first, second, third = labels_of(2, 2, 2)
    one, other = labels.merge([first, second]), labels.merge([first, third])
    labels.couple(one, other, "they meet")
    assert of(labels.classes(), list(range(10))) == [0, 1, 2, 3, 2, 3, 6, 7, 6, 7]


def test_a_part_beside_none_stays():
    labels, first, second = labels_of(1, 1)
    one, other = labels.merge([first, torch.tensor([-1])]), labels.merge([second, second])
    labels.couple(one, other, "they meet")
    classes = labels.classes()
    assert of(classes, [0, 1, 2, 3]) == [0, 0, 2, 2]
    assert classes.held == {0: CUT}


def test_what_is_composed_of_unequal_numbers_of_parts_stays():
    labels, one, other, alone = labels_of(8, 8, 1)
    labels.split(one.view(2, 2, 2))
    labels.split(other.view(2, 4))
    labels.couple(one, other, "they meet")
    # Of the first ones the parts are 17 to 22, of the others 23 to 28.
    assert labels.classes().held == dict.fromkeys(range(17, 29), CUT)
    assert alone.item() == 16


def test_parts_may_be_composed_themselves():
    labels, first, second, third = labels_of(1, 1, 1)
    inner = labels.merge([first, second])
    outer = labels.merge([inner, third])
    labels.hold(outer, "it stays")
    classes = labels.classes()
    assert parts_of(classes, [4]) == [[0], [1], [2]]
    assert parts_of(classes, [3]) == [[0], [1]]
    assert classes.held == {0: "it stays", 1: "it stays", 2: "it stays"}
    assert classes.size_of(outer) == (1, [[0], [1], [2]])


@pytest.mark.parametrize(("times", "part", "held"), [(2, 0, {}), (6, 0, {}), (7, 1, {0: CUT, 1: CUT})])
def test_six_times_one_may_be_composed_of_another(times, part, held):
    labels, whole = labels_of(1)
    for _ in range(times):
        whole = labels.merge([whole])
    classes = labels.classes()
    assert parts_of(classes, whole.tolist()) == [[part]]
    assert classes.held == held


def test_sizes_of_parts_are_told_apart_in_any_order():
    labels, first, second = labels_of(2, 2)
    one = labels.merge([second[[0, 0]], first])
    classes = labels.classes()
    assert classes.size_of(one) == (2, [[0, 1], [2]])


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_composed_of_itself_stays_and_is_composed_no_longer(part, number):
    labels, *parts = labels_of(2, 2)
    whole = labels.merge(parts)
    labels.couple(whole[:number], parts[part][:number], "they meet")
    classes = labels.classes()
    left = [0, 1, 2, 3, *([4, 5][number:])]
    assert classes.held == dict.fromkeys(left, CUT)
    assert classes.parts.tolist() == [list(range(6))]
    assert of(classes, [4, 5]) == [2 * part, 2 * part + 1 if number > 1 else 5]


class Heads(nn.Module):
    """What is in heads is scaled by a number of each head, and meets that number once it is no longer divided."""

    def __init__(self):
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(4, 6), nn.Linear(4, 3), nn.Linear(6, 2)

    def forward(self, images):
        gate = self.gate(images)[:, :, None]
        heads = self.first(images).unflatten(1, (3, -1)) * gate
        return self.last(heads.flatten(1) + gate.expand(-1, -1, 2).reshape(len(images), 6))


def test_channels_that_meet_the_number_of_their_head_stay():
    surgery = Surgery(Heads(), torch.rand(1, 4))
    assert surgery.groups == {}
    assert str(surgery.fixed["first"]) == f"6 of 6: {CUT}"


def test_what_is_composed_of_itself_leaves_others_as_they_are():
    labels, first, second = labels_of(2, 2)
    rows, columns = labels.split(labels.new(4).view(2, 2))
    whole = labels.merge([first, second])
    labels.couple(whole, second, "they meet")
    classes = labels.classes()
    assert set(classes.held) == {0, 1, 2, 3}
    assert parts_of(classes, [4, 7]) == [[8, 9], [10, 11]]
    assert (rows.tolist(), columns.tolist()) == ([8, 9], [10, 11])


def test_dimensions_of_one_size_go_together_where_they_are_as_long_and_stay_where_not():
    labels, same, one, other, long, short = labels_of(2, 3, 3, 4, 2)
    labels.couple(one[:1], one[1:2], "they meet")
    labels.count_alike(same, same.flip(0))  # alike as they are
    labels.count_alike(one, other)
    labels.count_alike(long, short)
    classes = labels.classes()
    assert of(classes, list(range(8))) == [0, 1, 2, 2, 4, 2, 2, 4]
    assert classes.held == dict.fromkeys(range(8, 14), COUNTED)
