"""What operations that move numbers about do with labels."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.surgery import Surgery
from tests.secateur.channels.followed import follow

MEET = "they meet the image, or constants, channel by channel"
CUT = "the network divides them at a fixed place"
PICKED = "the network takes them by their number"


def of(reason, *labels):
    return dict.fromkeys(labels, reason)


def by_memory(*arguments):
    return lambda x: x.as_strided(*arguments)


#: By name: a function, the shape of what it reads, the labels of what it puts out, what goes together, and what stays.
OPERATIONS = {
    # The order of dimensions.
    "permute": (lambda x: x.permute(2, 0, 1), (2, 3, 1), [([5], [0, 1], [2, 3, 4])], {}, {}),
    "permute from behind": (lambda x: x.permute(-1, 0, -2), (2, 3, 1), [([5], [0, 1], [2, 3, 4])], {}, {}),
    "t": (lambda x: x.t(), (2, 3), [([2, 3, 4], [0, 1])], {}, {}),
    "t of one dimension": (lambda x: x.t(), (2,), [([0, 1],)], {}, {}),
    "transpose": (lambda x: x.transpose(0, -1), (2, 3, 1), [([5], [2, 3, 4], [0, 1])], {}, {}),
    "not labelled": (lambda x: x.transpose(0, 1), (-2, 3), [([0, 1, 2], None)], {}, {}),
    # Padding, the last dimension first.
    "pad": (lambda x: functional.pad(x, (1, 2)), (2, 2), [([0, 1], [-1, 2, 3, -1, -1])], {}, {}),
    "pad two": (lambda x: functional.pad(x, (1, 0, 0, 1)), (2, 2), [([0, 1, -1], [-1, 2, 3])], {}, {}),
    "pad the last but one": (lambda x: functional.pad(x, (0, 0, 1, 1)), (1, 1), [([-1, 0, -1], [1])], {}, {}),
    "pad less": (lambda x: functional.pad(x, (-1, 1)), (2, 2), [([0, 1], [3, -1])], {}, of(CUT, 2, 3)),
    "pad what has none": (lambda x: functional.pad(x, (0, 1)), (2, -2), [([0, 1], None)], {}, {}),
    # Parts.
    "select": (lambda x: x[0], (2, 3), [([2, 3, 4],)], {}, of(PICKED, 0, 1)),
    "select behind": (lambda x: x[:, 1], (2, 3), [([0, 1],)], {}, of(PICKED, 2, 3, 4)),
    "select the only one": (lambda x: x[0], (1, 3), [([1, 2, 3],)], {}, of(PICKED, 0)),
    "select after none": (lambda x: x[:, 0], (-1, 2, 3), [(None, [2, 3, 4])], {}, of(PICKED, 0, 1)),
    "first half": (lambda x: x[:, :3], (2, 6), [([0, 1], [2, 3, 4])], {5: 2, 6: 3, 7: 4}, {}),
    "second third": (
        lambda x: x[:, 2:4], (2, 6), [([0, 1], [2, 3])], {4: 2, 5: 3, 6: 2, 7: 3}, {}
    ),
    "one of three": (lambda x: x[:, :1], (2, 3), [([0, 1], [2])], {3: 2, 4: 2}, {}),
    "between halves": (lambda x: x[:, 1:4], (2, 6), [([0, 1], [3, 4, 5])], {}, of(CUT, *range(2, 8))),
    "half in another order": (lambda x: x[:, ::2], (2, 4), [([0, 1], [2, 4])], {}, of(CUT, *range(2, 6))),
    "most": (lambda x: x[:, :4], (2, 6), [([0, 1], [2, 3, 4, 5])], {}, of(CUT, *range(2, 8))),
    "none of it": (lambda x: x[:, :0], (2, 3), [(None, None)], {}, of(PICKED, *range(5))),
    "the only one": (lambda x: x[:1], (1, 2), [([0], [1, 2])], {}, {}),
    "split": (
        lambda x: x.split(2, 1), (2, 6), [([0, 1], [2, 3])] * 3, {4: 2, 5: 3, 6: 2, 7: 3}, {}
    ),
    "split unequally": (
        lambda x: x.split([1, 2], 1), (2, 3), [([0, 1], [2]), ([0, 1], [2, 2])], {3: 2, 4: 2}, of(CUT, 2)
    ),
    "unbind": (lambda x: x.unbind(0), (2, 3), [([2, 3, 4],)] * 2, {}, of(PICKED, 0, 1)),
    "diagonal": (lambda x: x.diagonal(), (2, 2), [([[0, 1], [2, 3]],)], {}, {}),
    # Other orders, and by number.
    "flip": (lambda x: x.flip(1), (2, 3), [([0, 1], [4, 3, 2])], {}, {}),
    "roll": (lambda x: x.roll(1, 1), (2, 3), [([0, 1], [4, 2, 3])], {}, of(PICKED, 2, 3, 4)),
    "index": (lambda x: x[:, [2, 0]], (2, 3), [([0, 1], [4, 2])], {}, of(PICKED, 2, 3, 4)),
    "index_select": (
        lambda x: x.index_select(0, torch.tensor([1, 0])), (2, 3), [([1, 0], [2, 3, 4])], {}, of(PICKED, 0, 1)
    ),
    "all by number": (
        lambda x: x.index_select(0, torch.tensor([0, 1])), (2, 3), [([0, 1], [2, 3, 4])], {}, {}
    ),
    "windows": (lambda x: x.unfold(0, 2, 2), (4,), [(None, [0, 1])], {2: 0, 3: 1}, of(PICKED, 0, 1)),
    # Repeated, and seen with other dimensions.
    "repeat": (lambda x: x.repeat(2, 1), (2, 1), [([0, 1, 0, 1], [2])], {}, {}),
    "expand": (lambda x: x.expand(2, 3), (2, 1), [([0, 1], None)], {}, of(PICKED, 2)),
    "expand in front": (lambda x: x.expand(2, 3), (3,), [(None, [0, 1, 2])], {}, {}),
    "squeeze": (lambda x: x.squeeze(1), (2, 1), [([0, 1],)], {}, of(PICKED, 2)),
    "unsqueeze": (lambda x: x.unsqueeze(0), (2,), [(None, [0, 1])], {}, {}),
    "flatten": (lambda x: x.flatten(), (2, 3), [([[0, 0, 0, 1, 1, 1], [2, 3, 4, 2, 3, 4]],)], {}, {}),
    "view": (lambda x: x.view(2, 3), (6,), [([6, 7], [8, 9, 10])], {}, {}),
    "view beside one": (lambda x: x.view(1, 2, 2, 2), (2, 4), [(None, [0, 1], [6, 7], [8, 9])], {}, {}),
    "view of constants": (
        lambda x: functional.pad(x, (0, 1)).view(2, 3), (5,), [(None, [0, 1, 2])], {3: 0, 4: 1}, of(MEET, 2)
    ),
    "view of what is there twice": (
        lambda x: x.index_select(0, torch.tensor([0, 1, 1, 0])).view(2, 2), (2,), [(None, [0, 0])], {1: 0}, {}
    ),
    "by memory": (by_memory((2, 3), (3, 1)), (6,), [([6, 7], [8, 9, 10])], {}, {}),
    "by memory, turned": (
        lambda x: x.t().as_strided((2, 3), (3, 1)), (2, 3), [([0, 1], [2, 3, 4])], {}, {}
    ),
    "by memory of a part": (
        lambda x: x[1:].as_strided((2,), (1,)), (-3, 2), [(None,)], {},
        of("nothing is known of what as_strided does with them", 0, 1),
    ),
    # Shuffled.
    "channel shuffle": (
        lambda x: functional.channel_shuffle(x, 2), (1, 6, 1, 1), [([0], [1, 1, 2, 2, 3, 3], [7], [8])],
        {4: 1, 5: 2, 6: 3}, {},
    ),
    "pixel shuffle": (
        lambda x: functional.pixel_shuffle(x, 2), (1, 8, -1, -1), [([0], [1, 5], None, None)],
        {2: 1, 3: 1, 4: 1, 6: 5, 7: 5, 8: 5}, {},
    ),
    "pixel shuffle to one channel": (
        lambda x: functional.pixel_shuffle(x, 2), (1, 4, 1, 1), [([0], None, None, [1, 2])], {3: 1, 4: 2},
        of(PICKED, 5, 6),
    ),
    "pixel unshuffle": (
        lambda x: functional.pixel_unshuffle(x, 2), (-1, 2, -2, -2), [(None, [0] * 4 + [1] * 4, None, None)], {}, {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_labels_are_moved_as_numbers_are(name):
    function, shape, results, together, held = OPERATIONS[name]
    assert follow(function, shape) == (results, together, held, {})


# Six channels in two dimensions, of sizes that the network gives.
@pytest.mark.parametrize(
    ("sizes", "result", "together"),
    [
        ((2, 3), (None, [0, 1, 2]), {3: 0, 4: 1, 5: 2}),
        ((3, 2), ([0, 2, 4], None), {1: 0, 3: 2, 5: 4}),
        ((2, -1), (None, [0, 1, 2]), {3: 0, 4: 1, 5: 2}),
        ((3, -1), (None, [0, 1]), {2: 0, 3: 1, 4: 0, 5: 1}),
        ((-1, 2), ([0, 2, 4], None), {1: 0, 3: 2, 5: 4}),
        ((-1, 3), ([0, 3], None), {1: 0, 2: 0, 4: 3, 5: 3}),
    ],
)
def test_channels_lie_along_the_size_that_follows_or_the_larger_one(sizes, result, together):
    assert follow(lambda x: x.view(sizes), (6,), sized=True) == ([result], together, {}, {})


def test_channels_that_are_divided_by_sizes_that_follow_are_so_and_stay_where_the_size_is_given():
    # Two heads, as many as another tensor has, and what is left of twelve in rows of three.
    found = follow(lambda x, heads: x.view(heads.shape[0], -1, 3), (12,), (2,), sized=True)
    assert found.results == [([12, 13], [16, 17], [18, 19, 20])]
    assert found.held == of(CUT, 18, 19, 20)
    assert found.together == {}


@torch.no_grad()
def test_numbers_that_a_buffer_has_pick_labels():
    class Numbers(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("own", torch.tensor([1, 0, 1]), persistent=False)

    network = Numbers()
    picked = follow(lambda x: x.index_select(1, network.own), (2, 2), network=network)
    assert picked == ([([0, 1], [3, 2, 3])], {}, {}, {})
    unknown = follow(lambda x: x.index_select(1, network.own), (2, -2), network=network)
    assert unknown == ([([0, 1], None)], {}, {}, {})
    again = follow(lambda *two: [x.index_select(0, network.own) for x in two], (2,), (2,), network=network)
    assert again == ([([1, 0, 1],), ([3, 2, 3],)], {}, of(PICKED, 0, 1, 2, 3), {})
    otherwise = follow(lambda x: x[network.own], (2,), network=network)
    assert otherwise.results == [([1, 0, 1],)]


def test_a_shuffle_of_several_groups_lets_one_channel_of_each_go():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ChannelShuffle(3), nn.Conv2d(6, 2, 1))
    assert Surgery(network, torch.rand(1, 3, 2, 2)).groups["0"].units.tolist() == [[0, 2, 4], [1, 3, 5]]
