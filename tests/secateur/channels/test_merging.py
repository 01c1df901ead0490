"""Neuron merging: exact where filters are multiples of each other, by numbers worked by hand where they are not."""

import copy
import importlib

import pytest
import torch
from torch import nn

from secateur.channels.chains import find_chains
from secateur.channels.merging import Norm, affine_behind_norm, partners_behind_norm, partners_of
from secateur.channels.surgery import Surgery
from tests.compensated import NORMED, PLAIN, double, outputs, pruned, randomised

ALGEBRAIC = {"merge_formula": "algebraic", "merge_threshold": 0.99, "merge_lambda": 1}


@pytest.mark.parametrize("kind", PLAIN)
def test_merging_loses_nothing_of_neurons_that_are_multiples_of_others(kind):
    shape, layers = PLAIN[kind]
    network = nn.Sequential(*layers())
    double(network[0])
    images = torch.randn(16, *shape[1:])
    expected = outputs(network, images)
    assert pruned(network, torch.zeros(shape), [("0", [1, 3])], "merge") == []
    assert len(network[0].weight) == 3
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", NORMED)
def test_the_algebraic_form_loses_nothing_through_batch_norm(kind):
    shape, layers = NORMED[kind]
    network = randomised(nn.Sequential(*layers()))
    double(network[0], next(module for module in network if isinstance(module, nn.modules.batchnorm._BatchNorm)))
    images = torch.randn(16, *shape[1:])
    expected = outputs(network, images)
    assert pruned(network, torch.zeros(shape), [("0", [1, 3])], "merge", **ALGEBRAIC) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model", "layers"), [pytest.param("VGG16", 13, marks=pytest.mark.slow), ("ResNet20", 9)])
def test_the_algebraic_form_loses_nothing_in_whole_networks(model, layers):
    network = randomised(getattr(importlib.import_module(f"secateur.models.{model}"), model)((3, 32, 32), 10)).double()
    example = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    chains = find_chains(Surgery(network, example))
    normed = {root: network.get_submodule(found[0].norm[0]) for root, found in chains.items() if found[0].norm}
    assert len(normed) == layers
    for root, norm in normed.items():
        double(network.get_submodule(root), norm)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    expected = outputs(network, images)
    removed = copy.deepcopy(network)
    removals = [(root, [1, 3]) for root in normed]
    assert pruned(network, example, removals, "merge", **ALGEBRAIC) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))
    pruned(removed, example, removals, "none")
    assert float((outputs(removed, images) - expected).abs().max() / expected.abs().max()) > 0.01


def test_partners_have_the_largest_cosine_and_the_ratio_of_sizes():
    rows = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 10.0]])  # cosines of row 0: 3/5 and 4/5
    partners = partners_of(rows, torch.tensor([1, 2]), torch.tensor([0]), 0.8)
    assert partners.kept.tolist() == [1]
    assert partners.scale.item() == pytest.approx(0.5)
    assert partners_of(rows, torch.tensor([1, 2]), torch.tensor([0]), 0.81).scale.tolist() == [0]


def test_the_bias_is_a_part_of_the_neuron():
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    network.load_state_dict(
        {
            "0.weight": torch.tensor([[4.0], [3.0]]),
            "0.bias": torch.tensor([3.0, 4.0]),  # the cosine is 24/25, that of the weights alone 1
            "2.weight": torch.tensor([[2.0, 7.0]]),
        }
    )
    pruned(network, torch.zeros(1, 1), [("0", [1])], "merge", merge_threshold=0.96)
    assert network[2].weight.tolist() == [[9.0]]


#: Kept c and removed p: s = 2, g_c = 1, g_p = 3, shifts 1 and 6, means 5 and 4, variances 4 and 9.
NORM = Norm(
    *torch.tensor([[1.0, 3.0], [1.0, 6.0], [5.0, 4.0], [4.0, 9.0]], dtype=torch.float64).unbind(0),
    eps=0.0,
)


@pytest.mark.parametrize(
    ("formula", "slope", "offset"),
    [
        # S = s (g_c/g_p)(v_p/v_c) = 2 (1/3)(9/4); B = (1/4)(2 (4 - 9*6/3) - 5) + 1
        ("published", 1.5, -7.25),
        # S = s (g_p/g_c)(q_c/q_p) = 2 * 3 * 2/3; B = (3/3)(2 (5 - 2*1/1) - 4) + 6
        ("algebraic", 4.0, 8.0),
    ],
)
def test_the_formulas_give_the_numbers_worked_by_hand(formula, slope, offset):
    ratio = torch.tensor([[2.0]], dtype=torch.float64)
    found = affine_behind_norm(ratio, NORM, torch.tensor([0]), torch.tensor([1]), formula)
    assert [number.item() for number in found] == pytest.approx([slope, offset])


def test_the_published_formula_changes_the_next_layer_by_the_number_worked_by_hand():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2, eps=0), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
        network[3].weight.copy_(torch.tensor([10.0, 100.0]).view(1, 2, 1, 1))
        norm = network[1]
        for tensor, numbers in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), NORM, strict=False):
            tensor.copy_(numbers)
    pruned(network, torch.zeros(1, 1, 2, 2), [("0", [1])], "merge")
    assert network[3].weight.item() == pytest.approx(10 + 1.5 * 100)


def test_lambda_weighs_the_cosine_against_what_the_norm_shifts():
    # Row 2 goes. Row 0 has the cosine 1 and B = 4, row 1 the cosine 0.6 and B = 0; S = 1 for both.
    filters = torch.tensor([[5.0, 0.0], [3.0, 4.0], [5.0, 0.0]], dtype=torch.float64)
    ones, means = torch.ones(3, dtype=torch.float64), torch.tensor([0.0, -4.0, -4.0], dtype=torch.float64)
    norm = Norm(ones, torch.zeros_like(ones), means, ones, 0.0)
    for balance, partner in ((1.0, 0), (0.8, 0), (0.7, 1), (0.0, 1)):  # 1 - balance against 0.4 balance
        kept, removed = torch.tensor([0, 1]), torch.tensor([2])
        found = partners_behind_norm(filters, norm, kept, removed, 0.1, balance, "algebraic")
        assert (found.kept.item(), found.scale.item()) == (partner, 1)


def test_a_negative_multiple_and_norms_that_are_all_alike_are_no_trap():
    filters = torch.tensor([[1.0, 0.0], [0.9, 0.1], [1.0, 0.0]], dtype=torch.float64)
    ones = torch.ones(3, dtype=torch.float64)
    kept, removed = torch.tensor([0, 1]), torch.tensor([2])
    for formula in ("published", "algebraic"):
        alike = Norm(ones, 0 * ones, 0 * ones, ones, 0.0)  # |B| / S is 0 for each: the cosine decides
        assert partners_behind_norm(filters, alike, kept, removed, 0.1, 0.5, formula).kept.item() == 0
        turned = Norm(torch.tensor([-1.0, 1.0, 1.0]).double(), 0 * ones, 0 * ones, ones, 0.0)
        assert partners_behind_norm(filters, turned, kept, removed, 0.1, 0.5, formula).kept.item() == 1
        opposed = Norm(torch.tensor([1.0, 1.0, -1.0]).double(), 0 * ones, 0 * ones, ones, 0.0)
        assert partners_behind_norm(filters, opposed, kept, removed, 0.1, 0.5, formula).scale.item() == 0


def test_below_the_threshold_nothing_is_merged():
    for shape, layers in (*PLAIN.values(), *NORMED.values()):
        merged = randomised(nn.Sequential(*layers()))
        plain = nn.Sequential(*layers())
        plain.load_state_dict(merged.state_dict())
        (notice,) = pruned(merged, torch.zeros(shape), [("0", [1, 3])], "merge", merge_threshold=1)
        assert notice.startswith("--compensate merge finds no filters alike")
        pruned(plain, torch.zeros(shape), [("0", [1, 3])], "none")
        for name, tensor in plain.state_dict().items():
            assert torch.equal(merged.state_dict()[name], tensor)
