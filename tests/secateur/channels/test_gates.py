"""Gradients of gates and scores of filters, worked by hand."""

import pytest
import torch
from torch import nn

from secateur.channels.filters import filter_scores, filters_of
from secateur.channels.gates import gate_gradients
from secateur.channels.groups import Group


def group(channels, outputs, norms=()):
    """A group of channels that each go alone, by the layers and norms that they are in."""

    def members(of):
        return [(name, torch.tensor(own), torch.tensor(ours)) for name, own, ours in of]

    return Group("root", channels, torch.arange(channels)[:, None], members(outputs), members(norms))


def total(outputs, _targets):
    return outputs.sum()


def gradients(network, own, *images, **options):
    """dL/dc for each batch, where L is the sum of all outputs."""
    batches = [(torch.tensor(inputs), torch.zeros(len(inputs))) for inputs in images]
    found = [each["root"].tolist() for each in gate_gradients(network, {"root": own}, total, batches, **options)]
    assert not any(module._forward_hooks for module in network.modules())
    return found


def set_to(layer, weight, bias=None):
    layer.weight.data = torch.tensor(weight).view_as(layer.weight)
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def test_a_gate_multiplies_what_its_layer_puts_out_for_each_batch():
    first, last = set_to(nn.Linear(1, 3), [1.0, 2, 3], [1.0, 0, -1]), set_to(nn.Linear(3, 1), [5.0, 7, 11])
    # Of the inputs 2 and 3 together: 3 + 4, 4 + 6 and 5 + 8, times what they are read with.
    inputs = [[2.0], [3.0]], [[1.0]]
    found = gradients(nn.Sequential(first, last), group(3, [("0", [2, 0, 1], [0, 1, 2])]), *inputs)
    assert found == [[143, 35, 70], [22, 10, 14]]
    # Without the second channel, which is in no gate.
    assert gradients(nn.Sequential(first, last), group(2, [("0", [2, 0], [0, 1])]), inputs[1]) == [[22, 10]]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(1, 2, 1, bias=False), (3, 1, 4)),
        (nn.Conv2d(1, 2, 1, bias=False), (3, 1, 2, 2)),
        (nn.Conv3d(1, 2, 1, bias=False), (3, 1, 2, 2, 1)),
        (nn.ConvTranspose1d(1, 2, 1, bias=False), (3, 1, 4)),
        (nn.Linear(1, 2, bias=False), (3, 4, 1)),
        (nn.Conv1d(1, 2, 1, bias=False), (1, 12)),
    ],
    ids=["1-d", "2-d", "3-d", "transposed", "tokens", "one image"],
)
def test_channels_are_where_the_kind_of_layer_has_them(layer, shape):
    set_to(layer, [1.0, 10])
    inputs = torch.arange(12.0).view(shape)  # 66 in all
    assert gradients(nn.Sequential(layer), group(2, [("0", [0, 1], [0, 1])]), inputs.tolist()) == [[66, 660]]


def test_gates_are_before_the_norm_or_behind_it():
    layer, norm = (
        set_to(nn.Linear(1, 2), [1.0, 2], [0.0, 0]),
        set_to(nn.BatchNorm1d(2, eps=1e-12), [10.0, 20], [3.0, 4]),
    )
    norm.running_mean, norm.running_var = torch.tensor([1.0, 1]), torch.tensor([4.0, 16])
    network, own = nn.Sequential(layer, norm), group(2, [("0", [0, 1], [0, 1])], [("1", [0, 1], [0, 1])])
    # 3 and 6: 10 / 2 * 3 and 20 / 4 * 6; with the mean and the shift 10 / 2 * 2 + 3 and 20 / 4 * 5 + 4.
    assert gradients(network, own, [[3.0]]) == [[15, 30]]
    assert gradients(network, own, [[3.0]], behind_norms=True) == [[13, 29]]
    # Of 1 and 5 the mean is 3 and the deviation 2: (-1 + 1) times the scale, and twice the shift.
    assert gradients(network, own, [[1.0], [5.0]], mode="train", behind_norms=True) == [[6, 8]]


def test_behind_a_norm_of_maps_channels_are_the_second_dimension():
    layer, norm = set_to(nn.Conv1d(1, 2, 1, bias=False), [1.0, 10]), set_to(nn.BatchNorm1d(2, eps=0), [1.0, 1])
    own = group(2, [("0", [0, 1], [0, 1])], [("1", [1, 0], [1, 0])])
    assert gradients(nn.Sequential(layer, norm), own, [[[1.0, 2, 3, 4]]], behind_norms=True) == [[10, 100]]


class InPart(nn.Module):
    """Of three channels of one layer two pass a norm, of two of another none."""

    def __init__(self, norm):
        super().__init__()
        self.layer, self.norm = set_to(nn.Linear(1, 3), [1.0, 2, 3], [0.0] * 3), norm
        self.other, self.bare = (set_to(nn.Linear(1, 2), [1.0, 1], [0.0] * 2) for _ in range(2))

    def forward(self, inputs):
        hidden = self.layer(inputs)
        normed = self.norm(hidden[:, 1:])
        return torch.cat([hidden[:, :1], normed, self.other(inputs) * normed, self.bare(inputs)], 1)


def in_part(norm):
    outputs = [("layer", [0, 1, 2], [3, 0, 2]), ("other", [0, 1], [0, 2]), ("bare", [1], [1])]
    return InPart(norm), group(4, outputs, [("norm", [1, 0], [2, 0])])


def test_channels_without_a_batch_norm_have_gates_behind_their_layers():
    norm = set_to(nn.BatchNorm1d(2, eps=0), [1.0, 1], [100.0, 1000])
    # The inputs are 2: 2, 4 + 100 and 6 + 1000 behind the norm, 2 of the bare layer. What the other makes is
    # multiplied by the norm's, and so by its gates, and by no gates of its own.
    assert gradients(*in_part(norm), [[2.0]], behind_norms=True) == [[104 + 208, 2, 1006 + 2012, 2]]
    # Before the norm 4 and 6, each once and twice again; the other's own are the products.
    assert gradients(*in_part(norm), [[2.0]]) == [[4 + 8 + 208, 2, 6 + 12 + 2012, 2]]


def test_norms_of_each_image_are_none_that_gates_are_behind():
    norm = nn.GroupNorm(2, 2)  # of one number each it is nothing but the shift
    set_to(norm, [1.0, 1], [100.0, 1000])
    assert gradients(*in_part(norm), [[2.0], [2.0]], behind_norms=True) == [[400, 4, 4000, 4]]


def test_hooks_go_where_not_all_batches_are_asked_for():
    network = nn.Sequential(nn.Linear(1, 2))
    batches = [(torch.ones(1, 1), torch.zeros(1))] * 2
    found = gate_gradients(network, {"root": group(2, [("0", [0, 1], [0, 1])])}, total, batches)
    next(found)
    assert len(network[0]._forward_hooks) == 1
    found.close()
    assert len(network[0]._forward_hooks) == 0


def filters(rows):
    return rows.sum(1)


def test_filters_of_coupled_layers_are_scored_together_and_bias_is_left_out_unless_asked_for():
    network = nn.ModuleDict(
        {
            "one": set_to(nn.Conv1d(1, 3, 2), [1.0, 2, 10, 20, 100, 200], [0.5, 0.25, 0.125]),
            "other": set_to(nn.Linear(2, 2, bias=False), [1000.0, 3000, 4000, 5000]),
            "transposed": set_to(nn.ConvTranspose1d(2, 2, 1), [1.0, 2, 10, 20], [0.5, 0.25]),
        }
    )
    groups = {
        "root": group(4, [("one", [2, 0, 1], [0, 1, 3]), ("other", [1], [3])]),
        "transposed": group(2, [("transposed", [0, 1], [0, 1])]),
    }
    scores = filter_scores(network, groups, filters)
    assert {root: found.tolist() for root, found in scores.items()} == {
        "root": [300, 3, 0, 9030],
        "transposed": [11, 22],
    }
    scores = filter_scores(network, groups, filters, bias=True)
    assert {root: found.tolist() for root, found in scores.items()} == {
        "root": [300.125, 3.5, 0, 9030.25],
        "transposed": [11.5, 22.25],
    }
    assert {found.dtype for found in scores.values()} == {torch.float32}
    assert not any(found.requires_grad for found in scores.values())


@pytest.mark.parametrize(
    ("has_bias", "options", "expected"),
    [
        (True, {}, [[1, 2, 3, 4], [5, 6, 7, 8]]),
        (True, {"bias": True}, [[1, 2, 3, 4, 9], [5, 6, 7, 8, 10]]),
        (False, {}, [[1, 2, 3, 4], [5, 6, 7, 8]]),
        (False, {"bias": True}, [[1, 2, 3, 4], [5, 6, 7, 8]]),
    ],
)
def test_a_filter_is_a_row_with_its_bias_at_the_end_if_it_is_asked_for(has_bias, options, expected):
    layer = set_to(nn.Conv1d(2, 2, 2, bias=has_bias), [float(n) for n in range(1, 9)], [9.0, 10] if has_bias else None)
    rows = filters_of(layer, **options)
    assert rows.tolist() == expected
    assert not rows.requires_grad
