"""Groups of channels: how they are made of what is coupled, how they are numbered, and what may go of them."""

import pytest
import torch
from torch import nn

from secateur.channels.groups import (
    Group,
    Members,
    Outputs,
    _connected,
    find_groups,
    layer_of,
    outputs_of,
    overlapping,
    shape_of,
)
from secateur.channels.labels import Classes


def tensors(**numbers):
    return {name: torch.tensor(own) for name, own in numbers.items()}


def plain(count, **outputs):
    """Layers by the classes of their outputs, none of which is composed of others."""
    members = Members(Classes(torch.arange(count), torch.arange(count)[None]))
    members.outputs = tensors(**outputs)
    return members


def entries(members):
    return [(name, own.tolist(), root.tolist()) for name, own, root in members]


def described(groups):
    """By the root: its width, its units, and the layers whose outputs go."""
    return {group.root: (group.channels, group.units.tolist(), entries(group.outputs)) for group in groups}


def of(name, *numbers):
    """A layer of a group, with its outputs and the root's channels."""
    return (name, *map(torch.tensor, numbers))


def test_a_root_has_most_of_the_classes_then_the_fewest_channels_and_is_the_last():
    everything = torch.ones(3, dtype=torch.bool)
    for outputs, root in (
        ({"a": [0, 1, 2], "b": [2, 1, 0], "c": [1, 2]}, "b"),
        ({"a": [0, 1, 2], "b": [0, 1, 2, 0, 1, 2], "c": [1, 2, 1]}, "a"),
        ({"a": [0, 1, 2, 0, 1, 2], "b": [0, 1]}, "a"),
    ):
        (group,), held = find_groups(plain(3, **outputs), everything)
        assert (group.root, held) == (root, {})
    groups, _ = find_groups(plain(3, a=[0, 1, 2], b=[2, 1, 0], c=[2, 1]), everything, {"c"})
    assert described(groups) == {
        "c": (2, [[0], [1]], [("a", [1, 2], [1, 0]), ("b", [0, 1], [0, 1]), ("c", [0, 1], [0, 1])]),
        "b": (3, [[2]], [("a", [0], [2]), ("b", [2], [2])]),
    }


def test_only_what_is_free_is_in_groups_and_the_last_layers_come_first():
    members = plain(8, a=[0, -1, 7, 2], b=[3, 4], c=[5, 6], d=[6, 4])
    members.norms = tensors(norm=[7, -1, 0])
    members.inputs = tensors(first=[-1, 7, 0, 2], second=[4, 6], third=[1])
    members.others = {("scale", 1): torch.tensor([-1, 6, 3])}
    members.averages = {("norm", -1): torch.tensor([4, 5, -1])}
    free = torch.tensor([True] * 2 + [False] + [True] * 5)
    groups, held = find_groups(members, free)
    assert held == {}
    assert described(groups) == {
        "d": (2, [[0], [1]], [("b", [1], [1]), ("c", [1], [0]), ("d", [0, 1], [0, 1])]),
        "c": (2, [[0]], [("c", [0], [0])]),
        "b": (2, [[0]], [("b", [0], [0])]),
        "a": (4, [[0], [2]], [("a", [0, 2], [0, 2])]),
    }
    last, fifth, third, first = groups
    assert (entries(last.norms), entries(first.norms)) == ([], [("norm", [0, 2], [2, 0])])
    assert entries(last.inputs) == [("second", [0, 1], [1, 0])]
    assert entries(first.inputs) == [("first", [1, 2], [2, 0])]
    assert (fifth.inputs, third.inputs) == ([], [])
    assert entries(last.others) == [(("scale", 1), [1], [0])]
    assert entries(third.others) == [(("scale", 1), [2], [0])]
    assert entries(last.averages) == [(("norm", -1), [0], [1])]
    assert entries(fifth.averages) == [(("norm", -1), [1], [0])]


def test_channels_of_each_group_go_together_and_what_reads_them_is_dealt_out_in_order():
    members = plain(2, grouped=[0, 1, 0, 1])
    members.inputs = tensors(flat=[0, 0, 1, 1, 0, 0, 1, 1], narrow=[1, 0], twice=[1, 1, 0, 0])
    (group,), _ = find_groups(members, torch.ones(2, dtype=torch.bool))
    assert group.units.tolist() == [[0, 2], [1, 3]]
    assert entries(group.inputs) == [
        ("flat", [0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, 2, 3, 3]),
        ("narrow", [0, 1], [1, 0]),
        ("twice", [0, 1, 2, 3], [1, 3, 0, 2]),
    ]
    members = plain(3, grouped=[2, 1, 0] * 40)
    members.inputs = tensors(flat=[0] * 80 + [1] * 80 + [2] * 80)
    (group,), _ = find_groups(members, torch.ones(3, dtype=torch.bool))
    assert group.units.tolist() == [list(range(first, 120, 3)) for first in range(3)]
    ((_, own, root),) = entries(group.inputs)
    assert own == list(range(240))
    assert root == [channel for first in (2, 1, 0) for channel in range(first, 120, 3) for _ in range(2)]


def test_of_unequal_numbers_those_that_are_usual_go():
    members = plain(5, layer=[0, 1, 2, 2, 1, 0, 3, 4])
    groups, held = find_groups(members, torch.tensor([True] * 4 + [False]))
    assert described(groups) == {
        "layer": (8, [[0, 5], [1, 4], [2, 3]], [("layer", [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])])
    }
    assert held == {3: "unequal numbers of them are coupled"}


#: Six outputs, three heads (classes 0 to 2) with two places each (3 and 4), and two of another layer.
HEADS = torch.tensor([[0, 1, 2, 3, 4, 0, 0, 1, 1, 2, 2, 11, 12], [-1] * 5 + [3, 4, 3, 4, 3, 4] + [-1] * 2])


def heads():
    members = Members(Classes(torch.arange(13), HEADS))
    members.outputs = tensors(qkv=[5, 6, 7, 8, 9, 10], fc=[11, 12])
    members.inputs = tensors(proj=[5, 6, 7, 8, 9, 10])
    return members


def test_divided_outputs_have_a_root_for_each_dimension():
    members = heads()
    places, of_heads = [3, 4, 3, 4, 3, 4], [0, 0, 1, 1, 2, 2]
    assert {root: numbers.tolist() for root, numbers in members.roots().items()} == {
        "qkv/0": places,
        "qkv/1": of_heads,
        "fc": [11, 12],
    }
    found = {root: members.outputs_of(root) for root in ("qkv/0", "qkv/1", "fc")}
    assert {root: numbers.tolist() for root, numbers in found.items()} == {
        "qkv/0": places,
        "qkv/1": of_heads,
        "fc": [11, 12],
    }
    assert [members.outputs_of(root) for root in ("qkv", "qkv/2", "fc/0", "fc/1", "proj", "", "/0")] == [None] * 7


def test_heads_and_what_is_in_each_of_them_are_groups_of_the_same_outputs():
    groups, held = find_groups(heads(), torch.ones(13, dtype=torch.bool))
    six = list(range(6))
    assert held == {}
    assert described(groups) == {
        "fc": (2, [[0], [1]], [("fc", [0, 1], [0, 1])]),
        "qkv/1": (6, [[0, 1], [2, 3], [4, 5]], [("qkv", six, six)]),
        "qkv/0": (6, [[0, 2, 4], [1, 3, 5]], [("qkv", six, six)]),
    }
    assert [entries(group.inputs) for group in groups] == [[], [("proj", six, six)], [("proj", six, six)]]
    assert [(group.layer, group.divided, group.heads) for group in groups] == [
        ("fc", False, False),
        ("qkv", True, True),
        ("qkv", True, False),
    ]
    assert overlapping({group.root: group for group in groups}) == [["fc"], ["qkv/1", "qkv/0"]]
    assert outputs_of(groups) == {"qkv": 6, "fc": 2}
    other, of_heads, places = groups
    gone = Outputs()
    assert [gone.more(of_heads, 1), gone.more(places, 0), gone.more(other, 1)] == [2, 3, 1]
    assert gone.add(of_heads, [1]) == 2
    assert [gone.more(of_heads, unit) for unit in range(3)] == [2, 0, 2]
    assert [gone.more(places, 0), gone.more(other, 1)] == [2, 1]
    assert gone.add(places, [1]) == 2
    assert gone.add(places, [0, 1]) == 2
    assert gone.add(of_heads, [0, 1, 2]) == 0


@pytest.mark.parametrize(
    ("root", "layer"), [("a.b/0", "a.b"), ("a/b/12", "a/b"), ("a.b", "a.b"), ("7", "7"), ("a/b", "a/b"), ("", "")]
)
def test_the_layer_of_a_root_is_what_stands_before_a_slash_and_a_number(root, layer):
    assert layer_of(root) == layer


def test_overlapping_roots_are_told_once_where_the_first_of_them_stands():
    def group(root, *layers):
        return Group(root, 2, torch.tensor([[0], [1]]), [of(name, [0, 1], [0, 1]) for name in layers])

    groups = {
        root: group(root, *layers)
        for root, *layers in (("a", "a", "b"), ("q/1", "q", "k"), ("b", "b"), ("k/0", "k"), ("v/0", "v"), ("q/0", "q"))
    }
    assert overlapping(groups) == [["a"], ["q/1", "k/0", "q/0"], ["b"], ["v/0"]]


def test_layers_with_classes_in_common_are_gathered_in_the_order_of_their_first():
    assert _connected({"a": [0], "b": [1], "c": [2, 0], "d": [], "e": [3, 1]}) == [["a", "c"], ["b", "e"], ["d"]]
    # What joins two that were apart comes last.
    assert _connected({"a": [0], "b": [1], "c": [2], "d": [1, 0]}) == [["a", "b", "d"], ["c"]]
    assert _connected({"a": [0], "b": [1], "c": [0, 1], "d": [2, 1]}) == [["a", "b", "c", "d"]]


def test_units_are_numbered_and_each_takes_outputs_of_several_layers():
    group = Group(
        "root",
        6,
        torch.tensor([[0, 3], [1, 4]]),
        [of("root", [0, 1, 3, 4], [0, 1, 3, 4]), of("side", [0, 1, 2], [0, 3, 4]), of("root2", [5], [0])],
    )
    assert group.unit_numbers.tolist() == [0, 1, -1, 0, 1, -1]
    assert group.nodes.tolist() == [5, 3]
    assert group.norms == group.inputs == group.others == group.averages == []


def test_units_go_in_order_until_a_layer_has_few_left_and_a_reader_one():
    group = Group(
        "root",
        4,
        torch.tensor([[0], [1], [2], [3]]),
        [of("root", [0, 1, 2, 3], [0, 1, 2, 3]), of("side", [0, 1], [2, 3])],
        inputs=[of("reader", [0, 1], [0, 1])],
    )
    assert group.removable([3, 0, 2, 1]) == [3, 0]  # the last one of the side, and of what the reader reads
    assert group.removable(iter([1, 2])) == [1, 2]
    assert group.removable([3, 0, 2, 1], 2) == [0]  # of the root three, of the side both
    assert group.removable([0, 1], least=3) == [0]
    assert group.removable([0, 1], least=4) == []
    assert group.removable([]) == []


def test_the_shape_of_a_group_is_what_its_channels_run_through():
    network = nn.Sequential(
        nn.Conv2d(3, 4, (1, 3)), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 5, groups=2), nn.Linear(4, 2)
    )
    network.append(nn.LayerNorm(4))
    four = [0, 1, 2, 3]
    group = Group(
        "0",
        4,
        torch.tensor([[0], [1], [2], [3]]),
        [of("2", four, four), of("0", four, four)],
        [of("1", four, four)],
        [of("3", four, four), of("2", four, four)],
        averages=[(("4", -1), torch.tensor(four), torch.tensor(four))],
    )
    assert shape_of(network, group) == (
        False,
        ("averages", "LayerNorm", (), False),
        ("inputs", "Conv2d", (5, 5), True),
        ("inputs", "Linear", (), False),
        ("norms", "BatchNorm2d", (), False),
        ("outputs", "Conv2d", (1, 3), False),
        ("outputs", "Conv2d", (5, 5), True),
    )
