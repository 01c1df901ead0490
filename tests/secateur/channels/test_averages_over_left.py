"""Statistics over the channels that are left, of each of torch's norms and of means and variances of all forms."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.averages import average_over_all, average_over_left


class Calling(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, features):
        return self.function(features)


def set_to(module, weight, bias=None):
    module.weight.data = torch.tensor(weight)
    if bias is not None:
        module.bias.data = torch.tensor(bias)
    return module


#: (3, 9) less their mean 6, by the deviation 3, is (-1, 1); (3, 4) by the root of 25 / 2 is (0.848528, 1.131371).
LAYER = [[-1.0, 0, 1]], [[-12.0, 0, 18]]
ROOT = [[0.848528, 0, 1.131371]], [[8.48528, 0, 33.94113]]


@pytest.mark.parametrize(
    ("norm", "tokens", "expected"),
    [
        (nn.LayerNorm(3, eps=0, elementwise_affine=False), [3.0, 100, 9], LAYER[0]),
        (set_to(nn.LayerNorm(3, eps=0), [10.0, 20, 15], [-2.0, 7, 3]), [3.0, 100, 9], LAYER[1]),
        (Calling(lambda x: functional.layer_norm(x, (3,), eps=0)), [3.0, 100, 9], LAYER[0]),
        (nn.RMSNorm(3, eps=0, elementwise_affine=False), [3.0, 100, 4], ROOT[0]),
        (set_to(nn.RMSNorm(3, eps=0), [10.0, 20, 30]), [3.0, 100, 4], ROOT[1]),
    ],
    ids=["LayerNorm", "with scale and shift", "function", "RMSNorm", "with a scale"],
)
def test_norms_of_the_last_dimension_leave_channels_out_and_put_zeros_in_their_place(norm, tokens, expected):
    tokens = torch.tensor([[tokens] * 2])  # (1, 2, 3): neither the first nor the second dimension is meant
    average_over_left(norm, -1, torch.tensor([1]))
    torch.testing.assert_close(norm(tokens), torch.tensor(expected * 2)[None])


@pytest.mark.parametrize("affine", [True, False])
def test_a_group_norm_is_taken_over_the_channels_that_are_left(affine):
    norm = nn.GroupNorm(1, 3, eps=0, affine=affine)
    if affine:
        set_to(norm, [10.0, 20, 30], [1.0, 2, 3])
    maps = torch.tensor([[[3.0, 3, 3, 3], [50.0, 60, 70, 80], [9.0, 9, 9, 9]]])
    average_over_left(norm, -2, torch.tensor([1]))
    scaled = (-9.0, 33.0) if affine else (-1.0, 1.0)
    expected = torch.tensor([[[scaled[0]] * 4, [0.0] * 4, [scaled[1]] * 4]])
    torch.testing.assert_close(norm(maps), expected)


def test_a_norm_over_another_dimension_than_the_one_that_was_cut_stays():
    norm, tokens = nn.LayerNorm(3), torch.rand(2, 4, 3)
    expected = norm(tokens)
    average_over_left(norm, -2, torch.tensor([1]))
    assert norm(tokens).equal(expected)


FEATURES = [[[1.0, 5, 3], [2.0, 8, 8]]]  # without the second of three: means 2 and 5


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.mean(-1), [[2.0, 5]]),
        (lambda x: x.mean(2), [[2.0, 5]]),
        (lambda x: x.mean(dim=-1), [[2.0, 5]]),
        (lambda x: torch.mean(x, 2, keepdim=True), [[[2.0], [5]]]),
        (lambda x: x.mean((1, 2)), [3.5]),
        (lambda x: x.mean(dim=[0, 2]), [2.0, 5]),
        (lambda x: x.mean(1), [[1.5, 6.5, 5.5]]),  # of what is not cut, over all
        (lambda x: x.mean(), 4.5),
        (lambda x: x.mean(dim=None), 4.5),
        (lambda x: x[0, 0].var(False), 8 / 3),  # of 1, 5 and 3, by three
        (lambda x: x[0, 0].var(True), 4.0),  # by two
        (lambda x: x.var(-1, correction=0), [[1.0, 9]]),
        (lambda x: torch.std(x, 2, correction=0), [[1.0, 3]]),
        (lambda x: torch.stack(torch.var_mean(x, -1, correction=0)), [[[1.0, 9]], [[2.0, 5]]]),
        (lambda x: x.sum(-1), [[9.0, 18]]),  # is none
        (lambda x: x.amax(-1), [[5.0, 8]]),
    ],
)
def test_statistics_of_all_forms_are_taken_over_what_is_left_along_their_dimensions(function, expected):
    module = Calling(function)
    average_over_left(module, -1, torch.tensor([1]))
    torch.testing.assert_close(module(torch.tensor(FEATURES)), torch.tensor(expected))


def test_channels_of_several_calls_and_dimensions_are_left_out_together():
    module = Calling(lambda x: torch.stack([x.mean(-1).sum(), x.mean(-2).sum(), x.mean((-2, -1)).sum()]))
    for dim, gone in ((-1, [1]), (-1, [3, 1]), (-2, [0])):
        average_over_left(module, dim, torch.tensor(gone))
    assert len(module._forward_pre_hooks) == len(module._forward_hooks) == 1
    features = torch.tensor([[1.0, 100, 3, 200], [5.0, 10, 9, 20], [7.0, 30, 11, 40]])
    # Of 1 and 3, 5 and 9, 7 and 11; of the last two rows; and of 5, 9, 7 and 11.
    torch.testing.assert_close(module(features), torch.tensor([2 + 7 + 9.0, 6 + 20 + 10 + 30, 8]))


def test_all_is_undone_and_hooks_of_others_stay():
    network = nn.Sequential(nn.LayerNorm(3), nn.Sequential(nn.LayerNorm(3)))
    seen = []
    network[0].register_forward_pre_hook(lambda module, inputs: seen.append("before"))
    network[0].register_forward_hook(lambda module, inputs, output: seen.append("after"), always_call=True)
    tokens = torch.rand(4, 3)
    expected = network(tokens)
    for norm in (network[0], network[1][0]):
        average_over_left(norm, -1, torch.tensor([1]))
    assert not network(tokens).equal(expected)
    average_over_all(network)
    assert network(tokens).equal(expected)
    assert seen == ["before", "after"] * 3
    assert [len(module._forward_pre_hooks) for module in network.modules()] == [0, 1, 0, 0]
    assert [len(module._forward_hooks) for module in network.modules()] == [0, 1, 0, 0]
    assert [len(module._forward_hooks_always_called) for module in network.modules()] == [0, 1, 0, 0]


def test_outside_of_the_module_nothing_is_left_out_even_where_it_has_failed():
    def fail(features):
        raise RuntimeError("an error of its own")

    features = torch.tensor([[1.0, 5, 3]])
    for function in (lambda x: x.mean(-1), fail):
        module = Calling(function)
        average_over_left(module, -1, torch.tensor([1]))
        if function is fail:
            with pytest.raises(RuntimeError, match="of its own"):
                module(features)
        else:
            assert module(features).tolist() == [2]
        assert features.mean(-1).tolist() == [3]
        assert not hasattr(module, "_over_left")


def test_where_all_channels_are_gone_no_number_is_left():
    norm = nn.LayerNorm(2)
    average_over_left(norm, -1, torch.tensor([0, 1]))
    assert norm(torch.rand(3, 2)).tolist() == [[0, 0]] * 3
