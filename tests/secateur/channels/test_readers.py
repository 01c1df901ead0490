"""What layers read: which of it is constant, and what a constant adds."""

import pytest
import torch
from torch import nn

from secateur.channels.readers import _steady, connected, random_images, readers_of


def linear(weight, bias=None):
    weight = torch.tensor(weight)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def convolution(weight, bias=None, kind=nn.Conv2d, **options):
    """A convolution with a weight (O, I, K, K), or (I, O, K, K) where it is transposed."""
    weight = torch.tensor(weight)
    outputs, inputs = weight.shape[:2] if kind is not nn.ConvTranspose2d else weight.shape[1::-1]
    layer = kind(inputs, outputs, weight.shape[2:], bias=bias is not None, **options)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = torch.tensor(bias)
    return layer


def seen(reader):
    return reader.needed.tolist(), reader.constant.tolist(), reader.added.tolist(), reader.norm


def test_which_outputs_read_which_inputs_is_told_of_weights_with_any_kernel():
    assert connected(torch.tensor([[0.0, 1.0, -0.5]])).tolist() == [[False, True, True]]
    kernels = torch.tensor([[[0.0, 0.0], [0.0, 1.0]], [[0.5, 1.0], [1.0, 0.0]]])
    assert connected(kernels).tolist() == [[False, True], [True, True]]
    assert connected(kernels[..., None]).tolist() == [[False, True], [True, True]]


def test_a_linear_layer_folds_what_is_constant_and_needs_neither_that_nor_zeros():
    network = nn.Sequential(
        linear([[0.0], [0.0], [1.0], [0.0]], [3.0, -1.0, 0.5, 2.0]),
        nn.ReLU(),
        linear([[2.0, 4.0, 5.0, 0.0], [-1.0, 1.0, 0.0, 7.0]], [0.25, 0.5]),
    )
    readers = readers_of(network, torch.zeros(1, 1))
    assert list(readers) == ["0", "2"]
    assert seen(readers["0"]) == ([[False], [False], [True], [False]], [], [[]] * 4, None)
    # 3, 0, something and 2 are read.
    assert seen(readers["2"]) == (
        [[False, False, True, False], [False, False, False, False]], [0, 3], [[6.0, 0.0], [-3.0, 14.0]], None
    )  # fmt: skip
    assert readers["2"].name == "2"
    assert readers["2"].added.dtype == torch.float64
    readers["2"].fold(network, torch.tensor([True, True, False, False]))
    assert network[2].bias.tolist() == [6.25, -2.5]
    readers["2"].fold(network, torch.tensor([False, True, True, False]))
    assert network[2].bias.tolist() == [6.25, -2.5]
    readers["2"].fold(network, torch.tensor([False, False, False, True]))
    assert network[2].bias.tolist() == [6.25, 11.5]


def test_a_linear_layer_without_bias_and_norm_folds_nothing():
    network = nn.Sequential(linear([[0.0], [1.0]], [3.0, 0.0]), linear([[2.0, 1.0]]))
    assert seen(readers_of(network, torch.zeros(1, 1))["1"]) == ([[True, True]], [], [[]], None)


def test_a_norm_takes_up_what_a_layer_without_bias_reads():
    network = nn.Sequential(linear([[0.0], [1.0]], [3.0, 0.0]), linear([[2.0, 1.0], [0.0, 1.0]]), nn.BatchNorm1d(2))
    reader = readers_of(network, torch.zeros(1, 1))["1"]
    assert seen(reader) == ([[False, True], [False, True]], [0], [[6.0], [0.0]], "2")
    network[2].running_mean = torch.tensor([1.0, 2.0])
    reader.fold(network, torch.tensor([True, False]))
    assert network[2].running_mean.tolist() == [-5.0, 2.0]


def test_what_a_layer_of_tokens_reads_is_constant_where_it_is_so_of_all_of_them():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = linear([[0.0], [0.0], [0.0]], [1.0, 2.0, 0.0]), linear([[1.0, 10.0, 3.0]], [0.0])
            self.register_buffer("shift", torch.tensor([[0.0, 2.0, 0.0], [0.0, 1.0, 1.0]]))

        def forward(self, images):
            return self.last(self.first(images) + self.shift)

    # Of two tokens: 1 and 1, 4 and 3, 0 and 1; of the last two neither is one number.
    reader = readers_of(Tokens(), torch.zeros(1, 2, 1))["last"]
    assert seen(reader) == ([[False, True, True]], [0], [[1.0]], None)


def images_of(*channels):
    """A convolution of one channel that puts out constants, and the image where it is None."""
    weight = [[[[float(constant is None)]]] for constant in channels]
    return convolution(weight, [constant or 0.0 for constant in channels])


def test_a_convolution_folds_what_counts_the_same_everywhere():
    kernel, cross = [[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0], [2.0, -2.0]]
    nothing = [[0.0, 0.0], [0.0, 0.0]]
    network = nn.Sequential(
        images_of(-0.5, None, 0.0, 2.0, 1.0),
        convolution(
            [[kernel, kernel, kernel, nothing, nothing], [nothing, nothing, cross, cross, nothing]], [0.0, 0.0]
        ),
    )
    reader = readers_of(network, torch.zeros(1, 1, 3, 3))["1"]
    # -0.5 times 10 and 2 times 0; the third channel is zero, and the last one is not read.
    assert seen(reader) == (
        [[False, True, False, False, False], [False] * 5], [0, 3], [[-5.0, 0.0], [0.0, 0.0]], None
    )  # fmt: skip


def test_a_convolution_needs_a_constant_where_its_border_tells():
    # The first output reads the middle of the kernel alone, the second all of it: its borders see less.
    middle, all_of_it = [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]], [[-1.0] * 3] * 3
    network = nn.Sequential(images_of(2.0, None), convolution([[middle] * 2, [all_of_it] * 2], [0.0, 0.0], padding=1))
    reader = readers_of(network, torch.zeros(1, 1, 4, 4))["1"]
    assert seen(reader) == ([[False, True], [True, True]], [0], [[6.0], [0.0]], None)


@pytest.mark.parametrize("kind", ["no bias", "transposed"])
def test_a_convolution_that_cannot_fold_needs_constants_but_no_zeros(kind):
    weight = [[[[2.0]], [[1.0]], [[3.0]]]]
    if kind == "transposed":
        reader = convolution([[[[2.0]]], [[[1.0]]], [[[3.0]]]], [0.0], nn.ConvTranspose2d)
    else:
        reader = convolution(weight)
    network = nn.Sequential(images_of(0.5, None, 0.0), reader)
    assert seen(readers_of(network, torch.zeros(1, 1, 2, 2))["1"]) == ([[True, True, False]], [], [[]], None)


def test_a_channel_that_is_constant_in_some_places_is_not_constant():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = images_of(1.0, 2.0), convolution([[[[3.0]], [[5.0]]]], [0.0])

        def forward(self, images):
            features = self.first(images)
            mixed = torch.cat([features[:, :, :1], features[:, :, 1:] + images[:, :, 1:]], 2)
            return self.last(torch.cat([mixed[:, :1], features[:, 1:]], 1))

    reader = readers_of(Half(), torch.zeros(1, 1, 2, 2))["last"]
    assert seen(reader) == ([[True, False]], [1], [[10.0]], None)


def test_grouped_layers_are_left_out_and_those_behind_them_are_not():
    network = nn.Sequential(
        images_of(1.0, None), nn.Conv2d(2, 2, 1, groups=2), convolution([[[[1.0]], [[1.0]]]], [0.0])
    )
    readers = readers_of(network, torch.zeros(1, 1, 2, 2))
    assert list(readers) == ["0", "2"]
    # A constant goes through the depthwise convolution.
    assert readers["2"].constant.tolist() == [0]


class Shared(nn.Module):
    """A layer that is used twice, another that has the weight of a third, and one that is used once."""

    def __init__(self):
        super().__init__()
        self.first = linear([[0.0], [1.0]], [3.0, 0.0])
        self.twice, self.one = (
            linear([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0]),
            linear([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0]),
        )
        self.other = linear([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0])
        self.other.weight = self.one.weight
        self.once = linear([[5.0, 6.0]], [0.0])

    def forward(self, images):
        hidden = self.first(images)
        return self.twice(self.twice(hidden)) + self.one(hidden) + self.other(hidden) + self.once(hidden)


def test_what_is_used_twice_reads_nothing_constant():
    readers = readers_of(Shared(), torch.zeros(1, 1))
    constants = {name: reader.constant.tolist() for name, reader in readers.items()}
    assert constants == {"first": [], "twice": [], "one": [], "other": [], "once": [0]}
    assert readers["twice"].needed.all()
    assert (readers["twice"].constant.dtype, readers["twice"].added.shape) == (torch.int64, (2, 0))
    assert seen(readers["once"]) == ([[False, True]], [0], [[15.0]], None)


class Followed(nn.Module):
    """A layer without bias, and what may stand between it and a norm, or beside that."""

    def __init__(self, how, norm=None):
        super().__init__()
        self.how = how
        self.first, self.second = linear([[0.0], [1.0]], [3.0, 0.0]), linear([[2.0, 1.0], [4.0, 1.0]])
        self.norm = norm or nn.BatchNorm1d(2)

    def forward(self, images):
        hidden = self.second(self.first(images))
        if self.how == "beside":
            return self.norm(hidden) + hidden
        if self.how == "twice":
            return self.norm(hidden) + self.norm(hidden)
        if self.how == "two inputs":
            return self.norm(hidden) + self.norm(images.expand(-1, 2))
        return self.norm(hidden.relu() if self.how == "activated" else hidden)


@pytest.mark.parametrize("how", ["alone", "beside", "twice", "two inputs", "activated"])
def test_only_a_norm_that_alone_reads_a_layer_follows_it(how):
    reader = readers_of(Followed(how), torch.zeros(1, 1))["second"]
    alone = how == "alone"
    assert reader.norm == ("norm" if alone else None)
    assert reader.constant.tolist() == ([0] if alone else [])
    assert reader.added.tolist() == ([[6.0], [12.0]] if alone else [[], []])


def test_a_norm_of_tokens_or_without_a_mean_follows_no_layer():
    tokens = nn.Sequential(linear([[0.0], [1.0]], [3.0, 0.0]), linear([[2.0, 1.0], [4.0, 1.0]]), nn.BatchNorm1d(2))
    assert readers_of(tokens, torch.zeros(1, 2, 1))["1"].norm is None
    images = nn.Sequential(images_of(1.0, None), convolution([[[[1.0]], [[1.0]]]]), nn.BatchNorm2d(1))
    assert readers_of(images, torch.zeros(1, 1, 2, 2))["1"].norm == "2"
    images[2] = nn.BatchNorm2d(1, track_running_stats=False)
    assert readers_of(images, torch.zeros(1, 1, 2, 2))["1"].norm is None


@pytest.mark.parametrize(
    ("values", "steady"),
    [
        ([2.0, 2.0, 2.0], True),
        ([0.0, 0.0, 0.0], True),
        ([-2.0, -2.0, -2.0], True),
        ([1e6, 1e6 + 5e-4, 1e6], True),
        ([1e6, 1e6 - 5e-4, 1e6], True),
        ([1e6, 1e6 + 5e-3, 1e6], False),
        ([1e-3, 1e-3 + 1e-9, 1e-3], False),
        ([2.0, 1.0, 1.0], False),
        ([1.0, -1.0, 1.0], False),
        ([1.0, float("nan"), 1.0], False),
    ],
)
def test_a_row_is_one_number_up_to_rounding(values, steady):
    assert _steady(torch.tensor([values, [1.0, 1.0, 1.0]], dtype=torch.float64)).tolist() == [steady, True]


def test_random_images_are_the_same_at_each_call():
    example = torch.zeros(1, 2, 3, dtype=torch.float64)
    images = random_images(example, 4)
    expected = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert images.equal(expected)
    assert random_images(example.float(), 4).dtype == torch.float32
    assert random_images(example, 4).equal(expected)


def test_looking_at_a_network_leaves_no_hooks_and_no_modes():
    network = nn.Sequential(linear([[0.0]], [1.0]), nn.BatchNorm1d(1)).train()
    readers_of(network, torch.zeros(1, 1))
    assert not any(module._forward_hooks for module in network.modules())
    assert all(module.training for module in network.modules())
