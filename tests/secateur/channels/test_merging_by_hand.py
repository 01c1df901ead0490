"""Neuron merging: what is added to which weight, worked by hand, in layers and norms of each kind."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.channels.chains import Chain
from secateur.channels.merging import Norm, affine_behind_norm, merge, partners_behind_norm, partners_of


def doubles(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def options(threshold=None, balance=1.0, formula="algebraic"):
    return SimpleNamespace(merge_threshold=threshold, merge_lambda=balance, merge_formula=formula)


def test_each_removed_row_goes_to_its_own_nearest_one():
    rows = doubles([[2.0, 0.0], [0.0, 4.0], [3.0, 1.0], [0.0, -1.0], [1.0, 5.0], [0.0, 0.0]])
    kept, removed = torch.tensor([0, 1]), torch.tensor([2, 3, 4, 5])
    partners = partners_of(rows, kept, removed, 0.5)
    assert partners.kept.tolist() == [0, 0, 1, 0]
    # The lengths of the root of 10 and of 26; one that looks away, and one that is zero, are nothing.
    assert partners.scale.tolist() == pytest.approx([10**0.5 / 2, 0, 26**0.5 / 4, 0])


def test_a_kept_row_of_zeros_is_nobodys_partner():
    found = partners_of(doubles([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0]), torch.tensor([1]), 0.0)
    assert found.scale.tolist() == [0]


#: Two kept and two removed channels: scales, shifts, means, variances, and a large eps.
NORM = Norm(
    doubles([1.0, 2.0, 3.0, 4.0]), doubles([1.0, 2.0, 3.0, -1.0]), doubles([5.0, 6.0, 7.0, 8.0]),
    doubles([3.0, 8.0, 15.0, 24.0]), 1.0,
)  # fmt: skip


@pytest.mark.parametrize("formula", ["algebraic", "published"])
def test_both_formulas_say_it_of_each_pair(formula):
    ratio = doubles([[2.0, 3.0], [4.0, 5.0]])
    slope, offset = affine_behind_norm(ratio, NORM, torch.tensor([0, 1]), torch.tensor([2, 3]), formula)
    assert slope.shape == offset.shape == (2, 2)
    scale, shift, mean = (numbers.tolist() for numbers in NORM[:3])
    spread = [2.0, 3.0, 4.0, 5.0] if formula == "algebraic" else [3.0, 8.0, 15.0, 24.0]
    for row, removed in enumerate((2, 3)):
        for column, kept in enumerate((0, 1)):
            p, c = (removed, kept) if formula == "algebraic" else (kept, removed)
            s = ratio[row, column].item()
            expected = s * scale[p] / scale[c] * spread[c] / spread[p]
            inner = s * (mean[c] - spread[c] * shift[c] / scale[c]) - mean[p]
            assert slope[row, column].item() == pytest.approx(expected)
            assert offset[row, column].item() == pytest.approx(scale[p] / spread[p] * inner + shift[p])


def test_distances_are_shares_of_the_range_of_those_that_are_possible():
    # Row 0 goes. All filters are as long; cosines 0.6, 0.8, 0 and 1, and B = 1, 3, 5 and 0 (the last is negative).
    filters = doubles([[5.0, 0.0], [3.0, 4.0], [4.0, 3.0], [0.0, 5.0], [5.0, 0.0]])
    ones, zeros = torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    norm = Norm(doubles([1.0, 1.0, 1.0, 1.0, -1.0]), zeros, doubles([0.0, 1.0, -3.0, 5.0, 0.0]), ones, 0.0)
    kept, removed = torch.tensor([1, 2, 3, 4]), torch.tensor([0])

    def chosen(balance, threshold=0.0):
        found = partners_behind_norm(filters, norm, kept, removed, threshold, balance, "algebraic")
        return found.kept.item(), found.scale.item()

    # Of the first 0.4 b, of the second 0.2 b + (1 - b) / 2: they are as far at b = 5 / 7.
    assert [chosen(balance) for balance in (1.0, 0.72, 0.71, 0.0)] == [(1, 1), (1, 1), (0, 1), (0, 1)]
    assert chosen(1.0, 0.8001) == (1, 0)


def test_an_offset_counts_by_what_it_is_multiplied_by():
    # Two kept ones as like as each other: S = 1/2 and 2, B = 1 and -2, so that |B| / S is 2 and 1.
    filters = doubles([[2.0, 0.0], [4.0, 0.0], [1.0, 0.0]])
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    norm = Norm(ones, zeros, doubles([0.0, 2.0, -1.0]), ones, 0.0)
    found = partners_behind_norm(filters, norm, torch.tensor([1, 2]), torch.tensor([0]), 0.1, 0.5, "algebraic")
    assert (found.kept.tolist(), found.scale.tolist()) == ([1], [2.0])


def test_the_cosine_decides_between_offsets_that_are_alike():
    filters = doubles([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    norm = Norm(ones, zeros, zeros, ones, 0.0)
    found = partners_behind_norm(filters, norm, torch.tensor([1, 2]), torch.tensor([0]), 0.1, 0.5, "algebraic")
    assert (found.kept.tolist(), found.scale.tolist()) == ([1], pytest.approx([1.0]))


def test_what_is_infinite_behind_a_norm_is_no_partner():
    filters = doubles([[2.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for scale in (ones, doubles([1.0, 1.0, 0.0])):
        found = partners_behind_norm(
            filters,
            Norm(scale, zeros, zeros, ones, 0.0),
            torch.tensor([1, 2]),
            torch.tensor([0]),
            0.1,
            0.5,
            "algebraic",
        )
        expected = ([1], pytest.approx([2**0.5])) if scale is ones else ([0], [0])
        assert (found.kept.tolist(), found.scale.tolist()) == expected


def plain(cosine):
    """Two neurons of length 1 with this cosine, and a layer that reads them."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    network[0].weight.data = torch.tensor([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]])
    network[2].weight.data = torch.tensor([[1.0, 3.0], [2.0, 5.0]])
    return network


@pytest.mark.parametrize(
    ("cosine", "threshold", "merged"),
    [(0.46, None, True), (0.44, None, False), (0.44, 0.43, True), (0.46, 0.47, False)],
)
def test_neurons_are_merged_from_a_cosine_of_045(cosine, threshold, merged):
    network = plain(cosine)
    chain = Chain("0", None, "2", torch.tensor([[0], [1]]))
    added = merge(network, [chain], torch.tensor([1]), options(threshold))
    assert list(added) == ["2"]
    torch.testing.assert_close(added["2"], torch.tensor([[3.0, 0], [5.0, 0]]) * merged)
    assert network[2].weight.tolist() == [[1.0, 3.0], [2.0, 5.0]]


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("cosine", "threshold", "merged"),
    [(0.11, None, True), (0.09, None, False), (0.09, 0.08, True), (0.11, 0.12, False)],
)
def test_behind_a_norm_they_are_merged_from_a_cosine_of_01(cosine, threshold, merged, affine):
    network = nn.Sequential(plain(cosine)[0], nn.BatchNorm1d(3, affine=affine), plain(cosine)[2])
    norm = network[1]
    norm.running_var = torch.tensor([9.0, 4.0, 1.0])
    if affine:
        norm.weight.data = torch.tensor([9.0, 2.0, 3.0])
    # The norm has the two channels behind another one.
    chain = Chain("0", ("1", torch.tensor([1, 2])), "2", torch.tensor([[0], [1]]))
    added = merge(network, [chain], torch.tensor([1]), options(threshold))
    slope = (3 / 2 if affine else 1) * 2
    torch.testing.assert_close(added["2"], torch.tensor([[3.0, 0], [5.0, 0]]) * slope * merged, rtol=1e-4, atol=1e-5)


def test_the_bias_of_the_layer_is_taken_from_the_mean():
    network = nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3, eps=0), nn.ReLU(), nn.Linear(3, 1))
    network[0].weight.data = torch.tensor([[1.0], [1.0], [1.0]])
    network[0].bias.data = torch.tensor([1.0, 4.0, 9.0])
    network[1].running_mean = torch.tensor([1.0, 0.0, 9.0])  # 0, -4 and 0 of what the weights make
    network[3].weight.data = torch.tensor([[1.0, 10.0, 100.0]])
    chain = Chain("0", ("1", torch.arange(3)), "3", torch.tensor([[0], [1], [2]]))
    added = merge(network, [chain], torch.tensor([2]), options(balance=0.5))
    torch.testing.assert_close(added["3"], torch.tensor([[100.0, 0, 0]]))


def test_maps_that_are_flattened_are_merged_pixel_by_pixel():
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Flatten(), nn.Linear(6, 1, bias=False))
    network[0].weight.data = torch.tensor([2.0, 1.0, 4.0]).view(3, 1, 1, 1)
    network[2].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    chain = Chain("0", None, "2", torch.tensor([[0, 1], [2, 3], [4, 5]]))
    added = merge(network, [chain], torch.tensor([0, 2]), options())
    # Twice the first, and four times the third.
    torch.testing.assert_close(added["2"], torch.tensor([[0.0, 0, 2 + 20, 4 + 24, 0, 0]]))


def test_kernels_of_a_convolution_that_reads_them_are_merged_whole():
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, (1, 2), bias=False))
    network[0].weight.data = torch.tensor([2.0, 1.0]).view(2, 1, 1, 1)
    network[1].weight.data = torch.arange(8.0).view(2, 2, 1, 2)
    added = merge(network, [Chain("0", None, "1", torch.tensor([[0], [1]]))], torch.tensor([0]), options())
    assert added["1"].flatten(1).tolist() == [[0, 0, 0, 2], [0, 0, 8, 10]]
