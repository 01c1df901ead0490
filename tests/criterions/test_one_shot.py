"""Criteria that look at the inputs of layers: Wanda, RIA, DSnoT, SparseGPT and OBC, against numbers worked by hand."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.criterions.OBC import OBC
from secateur.criterions.SparseGPT import SparseGPT
from secateur.pruning.layer_inputs import as_matrix, from_matrix, unfolded
from secateur.utils.errors import UserError
from tests.criterions.moments import damped, spread

CRITERIA = ("Wanda", "RIA", "DSnoT", "SparseGPT", "OBC")


def prune(network, criterion, inputs, **options):
    batches = [(part, torch.zeros(len(part), dtype=torch.long)) for part in inputs.split(8)]
    options = {"outer_layer_pruning": True, "saliency_batches": len(batches), **options}
    result = secateur.prune(network, criterion, batches=batches, **options)
    result.pruner.detach()
    return result


def linear(weight):
    layer = nn.Linear(len(weight[0]), len(weight), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
    return nn.Sequential(layer)


def test_wanda_keeps_what_is_large_times_the_norm_of_its_input():
    network = linear([[4.0, 3.0, -2.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    inputs = torch.tensor([[1.0, 0.0, 2.0, 6.0], [0.0, -1.0, 2.0, 8.0]]).double()  # norms 1, 1, sqrt(8), 10
    masks = prune(network, "Wanda", inputs, sparsity=0.5).masks
    # |w| * norm: 4, 3, 5.66, 10 and 1, 1, 2.83, 10
    assert masks["0"].tolist() == [[False, False, True, True], [False, False, True, True]]
    assert network[0].weight.tolist() == [[0.0, 0.0, -2.0, 1.0], [0.0, 0.0, 1.0, 1.0]]


def test_wanda_compares_the_weights_of_each_output_and_hits_the_target_exactly():
    network = linear([[9.0, 8.0, 7.0, 6.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.5, 0.2, 0.4, 0.3]])
    masks = prune(network, "Wanda", torch.eye(5).double(), sparsity=0.5).masks  # keeps 8 of 15: 3, 3, 2
    assert masks["0"].int().tolist() == [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 0]]


def test_ria_is_relative_to_inputs_and_outputs():
    network = linear([[4.0, 1.0], [1.0, 2.0]])
    masks = prune(network, "RIA", torch.tensor([[1.0, 0.0], [0.0, 4.0]]).double(), sparsity=0.5).masks
    # |w| / sum of the input + |w| / sum of the output: 1.6, 0.533; 0.533, 1.333; times 1, 2
    assert masks["0"].tolist() == [[True, False], [False, True]]
    masks = prune(network, "RIA", torch.tensor([[1.0, 0.0], [0.0, 100.0]]).double(), sparsity=0.5, ria_power=2).masks
    assert masks["0"].tolist() == [[True, False], [False, True]]  # what is pruned stays so


@pytest.mark.parametrize(("power", "second_stays"), [(0.5, True), (0.25, False)])
def test_ria_takes_the_norm_of_an_input_to_its_power(power, second_stays):
    # 1.8 and 1.2 of a single output, times 1 and 3 ** a: 1.73 is more than 1.5, and 1.32 is not
    inputs = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).double()
    masks = prune(linear([[4.0, 1.0]]), "RIA", inputs, sparsity=0.5, ria_power=power).masks
    assert masks["0"].tolist() == [[not second_stays, second_stays]]


def test_dsnot_exchanges_weights_until_the_mean_output_is_there():
    """Wanda keeps 3, 2.2 of the first output; 2 E[x] = 2 is lost, and 2.2 E[x] = -2.2 goes where 2 comes back."""
    inputs = torch.tensor([[1.1, 1.0, -1.0], [0.9, 1.0, -1.0]]).double()
    network = linear([[3.0, 2.0, 2.2]])
    assert prune(network, "DSnoT", inputs, sparsity=0.34).masks["0"].tolist() == [[True, True, False]]
    network = linear([[3.0, 2.0, 2.2]])
    options = {"sparsity": 0.34, "dsnot_threshold": 2.1}
    assert prune(network, "DSnoT", inputs, **options).masks["0"].tolist() == [[True, False, True]]


def test_dsnot_prunes_what_takes_from_the_mean_output_and_not_what_adds_to_it():
    """As above, and of the kept weights the last is the smallest, 0.104 * 27.6; but it adds 0.052 to what is lost."""
    inputs = torch.tensor([[1.1, 1.0, -1.0, 20.0], [0.9, 1.0, -1.0, -19.0]]).double()
    network = linear([[3.0, 2.0, 2.2, 0.104]])
    assert prune(network, "DSnoT", inputs, sparsity=0.25).masks["0"].tolist() == [[True, True, False, True]]


def test_sparsegpt_gives_the_closed_form_of_optimal_brain_surgery():
    inputs, network = spread(40, 9), linear(torch.randn(4, 9).tolist())
    dense = network[0].weight.detach().clone()
    mask = prune(network, "SparseGPT", inputs, sparsity=0.5, obs_block=4).masks["0"]
    assert [int(mask[:, block].sum()) for block in (slice(4), slice(4, 8), slice(8, 9))] == [8, 8, 2]
    moments = damped(inputs)
    for row, kept in zip(dense, mask, strict=True):
        for column in (~kept).nonzero().flatten().tolist():
            inverse = torch.linalg.inv(moments[column:, column:])
            row[column:] -= row[column] / inverse[0, 0] * inverse[:, 0]
    torch.testing.assert_close(network[0].weight.detach(), dense * mask, rtol=1e-9, atol=1e-9)


def test_sparsegpt_chooses_what_costs_least():
    inputs, network = spread(40, 6), linear(torch.randn(3, 6).tolist())
    costs = network[0].weight.detach().square() / torch.linalg.inv(damped(inputs)).diagonal()
    first = linear(network[0].weight.tolist())
    mask = prune(first, "SparseGPT", inputs, sparsity=1 / 18).masks["0"]
    rows = torch.linalg.cholesky(torch.linalg.inv(damped(inputs)), upper=True)
    least = (network[0].weight.detach() / rows.diagonal()).square().argmin()
    assert (~mask).flatten().nonzero().tolist() == [[int(least)]]
    mask = prune(network, "OBC", inputs, sparsity=1 / 18).masks["0"]
    assert (~mask).flatten().nonzero().tolist() == [[int(costs.argmin())]]


@pytest.mark.parametrize("pattern", [None, "1:3"])
def test_obc_is_the_greedy_choice_of_the_least_error_at_each_weight(pattern):
    inputs, network = spread(30, 6), linear(torch.randn(2, 6).tolist())
    dense, moments = network[0].weight.detach().clone(), damped(inputs)
    options = {"pattern": pattern} if pattern else {"sparsity": 7 / 12}
    mask = prune(network, "OBC", inputs, **options).masks["0"]

    def best(row, kept):
        """The weights within `kept` that are nearest to what the row gives, and their error."""
        found = torch.zeros_like(row)
        found[kept] = torch.linalg.solve(moments[kept][:, kept], (moments @ row)[kept])
        return found, float((row - found) @ moments @ (row - found))

    kept = torch.ones(2, 6, dtype=torch.bool)
    errors = [0.0, 0.0]
    for _ in range(8 if pattern else 7):
        options = []
        for row, column in itertools.product(range(2), range(6)):
            group = slice(column // 3 * 3, column // 3 * 3 + 3) if pattern else slice(0)
            if kept[row, column] and (not pattern or kept[row, group].sum() > 1):
                without = kept[row].clone()
                without[column] = False
                error = best(dense[row], without)[1]
                options.append((error - errors[row], row, column, error))
        _, row, column, errors[row] = min(options)
        kept[row, column] = False
    assert torch.equal(mask, kept)
    expected = torch.stack([best(row, some)[0] for row, some in zip(dense, kept, strict=True)])
    torch.testing.assert_close(network[0].weight.detach(), expected, rtol=1e-9, atol=1e-9)


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "strided, dilated": lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=2),
    "reflecting": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_unfolded_inputs_times_the_matrix_are_the_outputs(kind):
    layer, images = CONVOLUTIONS[kind]().double(), torch.randn(2, 4, 6, 7).double()
    weight, rows = as_matrix(layer), unfolded(layer, images)
    places = weight.shape[-1] // (layer.in_channels // layer.groups)
    rows = rows.unflatten(-1, (-1, places)).transpose(-1, -2).flatten(-2)
    products = torch.einsum("bpgf,grf->bgrp", rows, weight).flatten(1, 2)
    expected = layer(images) - (0 if layer.bias is None else layer.bias[:, None, None])
    torch.testing.assert_close(products.view_as(expected), expected)
    assert torch.equal(from_matrix(layer, weight), layer.weight)
    some = torch.tensor([3, 0])
    assert torch.equal(unfolded(layer, images, some), unfolded(layer, images)[:, some])


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("options", [{"sparsity": 0.6}, {"pattern": "2:4"}], ids=["unstructured", "2:4"])
def test_a_convolution_is_pruned_like_the_linear_layer_of_its_unfolded_inputs(criterion, options):
    convolution = nn.Conv2d(4, 6, 3, stride=2, bias=False).double()
    images = torch.randn(5, 4, 7, 7).double()
    rows = functional.unfold(images, 3, stride=2).transpose(1, 2).flatten(0, 1)  # (rows, I * 9)
    rows = rows.unflatten(1, (4, 9)).transpose(1, 2).flatten(1)
    same = linear(as_matrix(convolution)[0].tolist())
    prune(nn.Sequential(convolution), criterion, images, **options)
    prune(same, criterion, rows, **options)
    torch.testing.assert_close(as_matrix(convolution)[0], same[0].weight.detach(), rtol=1e-9, atol=1e-9)


def several_layers():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip


IMAGES = torch.randn(24, 2, 6, 6)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("distribution", ["global", "uniform", "erdos_renyi_kernel"])
def test_the_target_is_hit_exactly_in_any_distribution_and_what_is_pruned_stays_so(criterion, distribution):
    network = several_layers()
    total = sum(module.weight.numel() for module in network if isinstance(module, nn.Conv2d | nn.Linear))
    options = {"prune_schedule": "linear", "snip_steps": 2, "distribution": distribution}
    result = prune(network, criterion, IMAGES, sparsity=0.7, **options)
    assert [step.kept for step in result.steps] == [round(0.65 * total), round(0.3 * total)]
    assert sum(int(mask.sum()) for mask in result.masks.values()) == round(0.3 * total)
    for name, mask in result.masks.items():
        assert not network.get_submodule(name).weight[~mask].any()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_of_each_four_inputs_two_stay(criterion):
    network = several_layers()
    masks = prune(network, criterion, IMAGES, pattern="2:4").masks
    assert (masks["3"].view(8, 1, 4, 9).sum(2) == 2).all()
    assert (masks["8"].view(5, 8, 4).sum(2) == 2).all()
    assert masks["0"].all()  # its groups of two inputs keep two


def test_each_layer_sees_what_the_pruned_layers_before_it_give():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, 2.9], [2.0, 0.1]]))
        network[1].weight.copy_(torch.tensor([[1.0, 1.8]]))
    inputs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    # Dense, the hidden ones are 0.1 and 1.9 in size; of the pruned first layer 3 and 2.
    masks = prune(network, "Wanda", inputs, sparsity=0.5, distribution="uniform").masks
    assert masks["0"].tolist() == [[True, False], [True, False]]
    assert masks["1"].tolist() == [[False, True]]  # 3 * 1 < 2 * 1.8
    network = nn.Sequential(network[0], nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, 1.4]]))
    assert prune(network, "Wanda", inputs, sparsity=0.5).masks["1"].tolist() == [[True, False]]  # 3 > 2 * 1.4


def test_layers_that_are_too_wide_for_obc_are_pruned_as_by_sparsegpt():
    inputs, weight = spread(30, 6), torch.randn(3, 6).tolist()
    narrow, wide = linear(weight), linear(weight)
    prune(narrow, "SparseGPT", inputs, sparsity=0.5)
    prune(wide, "OBC", inputs, sparsity=0.5, obc_columns=5)
    assert torch.equal(narrow[0].weight, wide[0].weight)


def test_a_layer_that_the_network_does_not_call_is_pruned_by_size():
    network = several_layers()
    network.idle = nn.Linear(4, 1)
    network.forward = lambda images: nn.Sequential(*list(network)[:-1])(images)
    with torch.no_grad():
        network.idle.weight.copy_(torch.tensor([[0.1, 3.0, -2.0, 0.2]]))
    assert prune(network, SparseGPT, IMAGES, sparsity=0.5).masks["idle"].tolist() == [[False, True, True, False]]


def test_inputs_without_an_inverse_are_refused_and_zero_ones_are_not():
    network = linear(torch.randn(2, 3).tolist())
    prune(network, OBC, torch.zeros(4, 3).double(), sparsity=0.5)
    with pytest.raises(UserError, match="--damping 1e-30: a layer's moments cannot be inverted"):
        prune(network, SparseGPT, torch.ones(4, 3).double() * torch.inf, sparsity=0.6, damping=1e-30)
    with pytest.raises(UserError, match="there are none"):
        secateur.prune(network, "Wanda", sparsity=0.5, example=torch.zeros(1, 3).double(), outer_layer_pruning=True)


def test_obc_prunes_a_layer_of_one_output():
    inputs = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 4.0]]).double()
    # independent inputs: w^2 E[x^2] are 9, 16 and 4 thirds
    masks = prune(linear([[3.0, 2.0, 0.5]]), "OBC", inputs, sparsity=0.34).masks
    assert masks["0"].tolist() == [[True, True, False]]
