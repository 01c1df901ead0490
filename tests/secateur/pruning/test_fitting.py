"""Least squares within a mask, against the normal equations written out row by row."""

import pytest
import torch
from torch import nn

from secateur.pruning import fitting
from secateur.pruning.fitting import fit, outputs_of, sampled_outputs, solved, squared_error


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments_of(columns, seed=0):
    rows = drawn(3 * columns, columns, seed=seed) * torch.arange(1.0, columns + 1)
    return rows.T @ rows


def expected(gram, moments, kept, ridge):
    """Each row alone, by its own columns."""
    found = torch.zeros_like(moments)
    for row, right, mask in zip(found, moments, kept, strict=True):
        own = gram[mask][:, mask]
        if mask.any():
            row[mask] = torch.linalg.solve(
                own + ridge * own.diagonal().mean() * torch.eye(len(own)).double(), right[mask]
            )
    return found


KEPT = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1]]).bool()


@pytest.mark.parametrize("ridge", [0.0, 0.5, None])
@pytest.mark.parametrize("most", [2**24, 40, 32, 3])
@pytest.mark.parametrize(
    "kept", [KEPT, KEPT[:2], KEPT[1:4:2], KEPT[:1].expand(5, 4), KEPT[1:2], KEPT[2:3].expand(2, 4)],
)  # fmt: skip
def test_rows_are_solved_within_what_they_keep(monkeypatch, kept, ridge, most):
    monkeypatch.setattr(fitting, "MOST_NUMBERS", most)
    gram, moments = moments_of(4), drawn(len(kept), 4, seed=1)
    found = solved(gram, moments, kept, **({} if ridge is None else {"ridge": ridge}))
    torch.testing.assert_close(found, expected(gram, moments, kept, 1e-4 if ridge is None else ridge))
    assert not found[~kept].any()


@pytest.mark.parametrize(
    ("most", "sizes"), [(None, [5]), (79, [4, 1]), (47, [2, 2, 1]), (32, [2, 2, 1]), (31, [1] * 5), (3, [1] * 5)]
)
def test_as_many_systems_are_solved_at_a_time_as_there_is_memory_for(monkeypatch, most, sizes):
    seen, factorise = [], torch.linalg.cholesky_ex

    def counted(systems):
        seen.append(len(systems))
        return factorise(systems)

    monkeypatch.setattr(torch.linalg, "cholesky_ex", counted)
    if most is not None:
        monkeypatch.setattr(fitting, "MOST_NUMBERS", most)
    solved(moments_of(4), drawn(5, 4), KEPT)
    assert seen == sizes
    seen.clear()
    solved(moments_of(4), drawn(5, 4), KEPT[:1].expand(5, 4))
    assert seen == [1]  # rows that keep the same


def test_where_nothing_is_kept_nothing_is_solved():
    assert torch.equal(solved(moments_of(3), drawn(2, 3), torch.zeros(2, 3).bool()), torch.zeros(2, 3).double())


def test_systems_without_a_solution_give_zero_and_spare_the_others():
    gram = torch.tensor([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 4.0]])  # the first two columns are no moments
    moments, kept = torch.tensor([[1.0, 1.0, 8.0]] * 3), torch.tensor([[1, 1, 0], [1, 0, 1], [1, 1, 1]]).bool()
    assert solved(gram, moments, kept, 0.0).tolist() == [[0, 0, 0], [1, 0, 2], [0, 0, 0]]
    assert solved(gram, moments, kept[2:].expand(3, 3), 0.0).tolist() == [[0, 0, 0]] * 3
    moments[1, 2] = torch.inf
    assert solved(gram, moments, kept, 0.0).tolist() == [[0, 0, 0]] * 3
    infinite = solved(gram, moments, kept[1:2].expand(3, 3), 0.0)
    assert infinite.tolist() == [[0, 0, 0]] * 3  # rows that are solved together fail together
    moments[1, 2] = 8.0
    assert solved(gram, moments, kept[1:2].expand(3, 3), 0.0).tolist() == [[1, 0, 2]] * 3


LAYERS = {
    "linear": lambda: nn.Linear(3, 4),
    "linear_without_bias": lambda: nn.Linear(3, 4, bias=False),
    "conv": lambda: nn.Conv2d(3, 4, 1),
    "grouped": lambda: nn.Conv2d(6, 4, 1, groups=2),
    "grouped_without_bias": lambda: nn.Conv2d(6, 4, 1, groups=2, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 1),
    "transposed_grouped": lambda: nn.ConvTranspose2d(6, 4, 1, groups=2),
}


def made(kind):
    """A layer in float64, its parts of rows (rows, G, 3), and how many outputs a group has."""
    torch.manual_seed(1)
    layer = LAYERS[kind]().double()
    groups = getattr(layer, "groups", 1)
    return layer, [drawn(rows, groups, 3, seed=rows) + 0.5 for rows in (7, 5)], groups


def by_the_layer(layer, rows):
    """What the layer itself gives for rows (rows, G, F) of its inputs."""
    flat = rows.flatten(1)
    return layer(flat) if isinstance(layer, nn.Linear) else layer(flat[:, :, None, None]).flatten(1)


@torch.no_grad()
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_of_rows_are_those_of_the_layer_and_errors_are_summed_over_all_parts(kind):
    layer, parts, _ = made(kind)
    for rows in parts:
        torch.testing.assert_close(outputs_of(layer, rows), by_the_layer(layer, rows))
    wanted = [by_the_layer(layer, rows) + offset for rows, offset in zip(parts, (2.0, -3.0), strict=True)]
    assert squared_error(layer, parts, wanted) == pytest.approx(4 * (7 * 4 + 5 * 9))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_fitted_within_its_mask_and_stays_near_what_it_was(kind):
    layer, parts, groups = made(kind)
    kept = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(3)) < 0.6
    with torch.no_grad():
        layer.weight *= kept
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    wanted = [drawn(len(rows), 4, seed=20 + len(rows)) for rows in parts]

    # The weight and its mask as (O, 3), by the outputs that each single input reaches.
    def as_rows(tensor):
        if not getattr(layer, "transposed", False):
            return tensor.flatten(1)
        return torch.cat([part.flatten(1).T for part in tensor.chunk(groups)])

    inputs, targets = torch.cat(parts), torch.cat(wanted)
    changes = torch.zeros(4, 4, dtype=torch.float64)
    for output in range(4):
        own = inputs[:, output // (4 // groups)]
        mask = as_rows(kept)[output]
        if layer.bias is not None:
            own, mask = torch.cat([own, torch.ones(12, 1)], 1), torch.cat([mask, torch.ones(1).bool()])
        missing = (targets - by_the_layer(layer, inputs))[:, output].detach()
        gram = own.T @ own
        changes[output, : len(mask)] = expected(gram, (own.T @ missing)[None], mask[None], 1e-4)[0]
    fit(layer, kept, parts, wanted)
    torch.testing.assert_close(as_rows(layer.weight).detach(), as_rows(before["weight"]) + changes[:, :3])
    if layer.bias is not None:
        torch.testing.assert_close(layer.bias.detach(), before["bias"] + changes[:, 3])
    assert not layer.weight[~kept].any()


@pytest.mark.parametrize("kind", ["linear", "linear_without_bias", "transposed"])
def test_what_would_raise_the_error_changes_nothing(monkeypatch, kind):
    layer, parts, _ = made(kind)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    wanted = [by_the_layer(layer, rows).detach() + 0.01 for rows in parts]
    monkeypatch.setattr(fitting, "solved", lambda gram, moments, kept: torch.ones_like(moments))
    fit(layer, torch.ones_like(layer.weight).bool(), parts, wanted)
    assert all(torch.equal(one, other) for one, other in zip(before, layer.parameters(), strict=True))
    monkeypatch.setattr(fitting, "solved", lambda gram, moments, kept: 1e-6 * moments)
    fit(layer, torch.ones_like(layer.weight).bool(), parts, wanted)
    assert not any(torch.equal(one, other) for one, other in zip(before, layer.parameters(), strict=True))


def test_infinite_inputs_change_nothing():
    layer, parts, _ = made("linear")
    before = layer.weight.detach().clone()
    parts[0][2, 0, 1] = torch.inf
    fit(layer, torch.ones(4, 3).bool(), parts, [drawn(7, 4), drawn(5, 4)])
    assert torch.equal(layer.weight, before)


def test_outputs_of_the_layers_of_a_network_are_seen_as_it_runs():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2, bias=False), nn.Linear(2, 2))
    images = torch.randn(40, 3)
    found = sampled_outputs(network, ["3", "0"], images)
    assert sorted(found) == ["0", "3"]
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(found["0"]), network[0](images))
        torch.testing.assert_close(torch.cat(found["3"]), network[3](network[0](images).relu()))
    assert not any(part.requires_grad for parts in found.values() for part in parts)
