"""What operations with weights do with labels, and what numbers that meet one by one do."""

import pytest
import torch
from torch.nn import functional

from tests.secateur.channels.followed import follow

MEET = "they meet the image, or constants, channel by channel"
ONE = "it is one for all channels of others"
MIXED = "convolution mixes them"
GROUPS = "a GroupNorm takes its statistics over several of them"
LAYERS = "a LayerNorm takes its statistics over them"
ATTENTION = "attention takes them together"


def of(reason, *labels):
    return dict.fromkeys(labels, reason)


def grouped(number):
    return lambda image, weight: torch.conv1d(image, weight, groups=number)


def transposed(number):
    return lambda image, weight: torch.conv_transpose1d(image, weight, groups=number)


def normed(training, *names):
    def norm(image, *tensors):
        own = dict(zip(names, tensors, strict=True))
        return functional.batch_norm(
            image, own.get("mean"), own.get("var"), own.get("weight"), own.get("bias"), training
        )

    return norm


def group_normed(number):
    return lambda image, *own: functional.group_norm(image, number, *own)


ALL = ("mean", "var", "weight", "bias")

#: By name: a function, shapes of what it reads, the labels of what it puts out, what goes together, and what stays.
OPERATIONS = {
    # Number by number.
    "as many": (
        torch.add, [(2, 3), (2, 3)], ([0, 1], [2, 3, 4]), {5: 0, 6: 1, 7: 2, 8: 3, 9: 4}, {}
    ),
    "fewer dimensions first": (torch.add, [(3,), (2, 3)], ([3, 4], [0, 1, 2]), {5: 0, 6: 1, 7: 2}, {}),
    "three": (torch.addcmul, [(2,), (1, 2), (2,)], ([2], [0, 1]), {3: 0, 4: 1, 5: 0, 6: 1}, {}),
    "one for all": (torch.mul, [(2, 1), (2, 3)], ([0, 1], [5, 6, 7]), {3: 0, 4: 1}, of(ONE, 2)),
    "one beside none": (torch.mul, [(1, 2), (-1, -2)], ([0], [1, 2]), {}, of(MEET, 1, 2)),
    "none beside one": (torch.mul, [(-1, -2), (1, 2)], ([0], [1, 2]), {}, of(MEET, 1, 2)),
    "with a constant": (torch.mul, [(2, 3), torch.ones(2, 3)], ([0, 1], [2, 3, 4]), {}, {}),
    # Convolutions.
    "convolution": (
        torch.conv2d, [(1, 2, 1, 1), (3, 2, 1, 1), (3,)], ([0], [5, 6, 7], None, None),
        {8: 1, 9: 2, 12: 5, 13: 6, 14: 7}, of(MIXED, 3, 4),
    ),
    "convolution of the image": (
        torch.conv1d, [(-1, -2, 1), (3, 2, 1)], (None, [1, 2, 3], None), {}, of(MIXED, 0) | of(MEET, 4, 5)
    ),
    "two groups": (
        grouped(2), [(-1, 4, -1), (6, 2, -1)], (None, [4, 5, 6, 4, 5, 6], None),
        {2: 0, 3: 1, 7: 4, 8: 5, 9: 6, 10: 0, 11: 1}, {},
    ),
    "two groups of the image": (
        grouped(2), [(-1, -4, -1), (4, 2, -1)], (None, [0, 1, 0, 1], None), {2: 0, 3: 1}, of(MEET, 4, 5)
    ),
    "several outputs of each channel of the image": (
        grouped(2), [(-1, -2, -1), (4, 1, -1)], (None, [0, 1, 0, 1], None), {2: 0, 3: 1}, of(MEET, 4)
    ),
    "one output of each channel of the image": (
        grouped(2), [(-1, -2, -1), (2, 1, -1)], (None, [0, 1], None), {}, of(MEET, 0, 1)
    ),
    "depthwise": (grouped(2), [(-1, 2, -1), (2, 1, -1)], (None, [0, 1], None), {2: 0, 3: 1}, {}),
    "several outputs of each channel": (
        grouped(2), [(-1, 2, -1), (4, 1, -1)], (None, [0, 0, 1, 1], None), {2: 0, 3: 0, 4: 1, 5: 1}, {}
    ),
    "transposed": (
        torch.conv_transpose1d, [(-1, 2, -1), (2, 3, -1), (3,)], (None, [4, 5, 6], None),
        {2: 0, 3: 1, 7: 4, 8: 5, 9: 6}, {},
    ),
    "transposed, two groups": (
        transposed(2), [(-1, 4, -1), (4, 3, -1)], (None, [8, 9, 10, 8, 9, 10], None),
        {2: 0, 3: 1, 4: 0, 5: 1, 6: 0, 7: 1}, {},
    ),
    "transposed, depthwise": (
        transposed(2), [(-1, 2, -1), (2, 2, -1)], (None, [0, 0, 1, 1], None), {2: 0, 3: 1}, {}
    ),
    "without labels in the weight": (grouped(2), [(-1, 4, -1), (6, -2, -1)], (None, [4, 5, 6] * 2, None),
                                     {2: 0, 3: 1, 7: 4, 8: 5, 9: 6}, of(MEET, 0, 1)),
    # Products.
    "mm": (torch.mm, [(2, 3), (3, 2)], ([0, 1], [8, 9]), {5: 2, 6: 3, 7: 4}, {}),
    "mm beside none": (torch.mm, [(2, -3), (3, 2)], ([0, 1], [5, 6]), {}, of(MEET, 2, 3, 4)),
    "bmm": (
        torch.bmm, [(2, 2, 3), (2, 3, 2)], ([0, 1], [2, 3], [12, 13]), {7: 0, 8: 1, 9: 4, 10: 5, 11: 6}, {}
    ),
    "addmm": (
        torch.addmm, [(2,), (3, 2), (2, 2)], ([2, 3, 4], [0, 1]), {7: 5, 8: 6, 9: 0, 10: 1}, {}
    ),
    "baddbmm": (
        torch.baddbmm, [(2, 2, 3), (2, 2, 1), (2, 1, 3)], ([0, 1], [2, 3], [4, 5, 6]),
        {7: 0, 8: 1, 9: 2, 10: 3, 12: 0, 13: 1, 14: 11, 15: 4, 16: 5, 17: 6}, {},
    ),
    # Norms.
    "batch norm": (
        normed(False, *ALL), [(1, 2, 1), *[(2,)] * 4], ([0], [1, 2], [3]),
        {4: 1, 5: 2, 6: 1, 7: 2, 8: 1, 9: 2, 10: 1, 11: 2}, {},
    ),
    "batch norm of what comes in": (
        normed(True, "weight"), [(2, 2, 2), (2,)], ([0, 1], [2, 3], [4, 5]), {6: 2, 7: 3},
        of("a norm takes its statistics over them", 0, 1, 4, 5),
    ),
    "batch norm of the image": (normed(False, "mean", "var"), [(-1, -2), (2,), (2,)], (None, [0, 1]),
                                {2: 0, 3: 1}, of(MEET, 0, 1)),
    "group norm of some": (group_normed(2), [(1, 4, 2)], ([0], [1, 2, 3, 4], [5, 6]), {}, of(GROUPS, 1, 2, 3, 4)),
    "group norm of one each": (
        group_normed(4), [(1, 4, 2), (4,), (4,)], ([0], [1, 2, 3, 4], [5, 6]),
        {7: 1, 8: 2, 9: 3, 10: 4, 11: 1, 12: 2, 13: 3, 14: 4}, {},
    ),
    "group norm without labels": (group_normed(2), [(1, -4, 2)], ([0], None, [1, 2]), {}, {}),
    "layer norm over two dimensions": (
        lambda x, weight: functional.layer_norm(x, (2, 3), weight), [(2, 2, 3), (2, 3)],
        ([0, 1], [2, 3], [4, 5, 6]), {}, of(LAYERS, *range(2, 12)),
    ),
    # Attention: batch, heads, tokens and width of queries, keys and values.
    "attention": (
        functional.scaled_dot_product_attention, [(1, 2, 3, 2), (1, 2, 1, 2), (1, 2, 1, 2)],
        ([0], [1, 2], [3, 4, 5], [18, 19]),
        {8: 0, 9: 1, 10: 2, 12: 6, 13: 7, 14: 0, 15: 1, 16: 2}, of(ATTENTION, 3, 4, 5, 11, 17),
    ),
    "attention with a mask": (
        lambda *three, mask=None: functional.scaled_dot_product_attention(*three[:3], attn_mask=three[3]),
        [(1, 2, 3, 2), (1, 2, 2, 2), (1, 2, 2, 2), (1, 2, 3, 2)], ([0], [1, 2], [3, 4, 5], [20, 21]),
        {8: 0, 9: 1, 10: 2, 13: 6, 14: 7, 15: 0, 16: 1, 17: 2, 22: 0, 23: 1, 24: 2},
        of(ATTENTION, 3, 4, 5, 11, 12, 18, 19) | of(MEET, 25, 26, 27, 28, 29),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_labels_meet_those_of_weights(name):
    function, inputs, result, together, held = OPERATIONS[name]
    found = follow(function, *inputs)
    assert found.results[0] == result
    assert found[1:] == (together, held, {})


def test_norms_over_all_channels_are_taken_over_those_that_are_left():
    over_channels = follow(group_normed(1), (1, 2, 3), (2,), (2,))
    assert over_channels == ([([0], [1, 2], [3, 4, 5])], {6: 1, 7: 2, 8: 1, 9: 2}, {}, {("", -2): [1, 2]})
    over_last = follow(lambda x, *own: functional.layer_norm(x, (2,), *own), (1, 3, 2), (2,), (2,))
    assert over_last == ([([0], [1, 2, 3], [4, 5])], {6: 4, 7: 5, 8: 4, 9: 5}, {}, {("", -1): [4, 5]})
