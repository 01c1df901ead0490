"""What the criteria that look at inputs make of a layer's matrix of two groups, against loops over its rows."""

import itertools

import pytest
import torch
from torch import nn

from secateur import criterions
from secateur.criterions.DSnoT import DSnoT
from secateur.criterions.OBC import OBC
from secateur.criterions.RIA import RIA
from secateur.criterions.SparseGPT import SparseGPT
from secateur.criterions.Wanda import Wanda
from secateur.pruning.layer_inputs import InputStatistics
from secateur.pruning.layerwise import Quota
from tests.criterions.moments import damped, spread


def statistics(*inputs):
    """Those of rows of inputs (rows, F) of each group."""
    found = torch.stack(inputs)
    moments = torch.stack([rows.T @ rows / len(rows) for rows in inputs])
    return InputStatistics(found.mean(1), found.square().mean(1), moments)


def quota(weight, keep, pattern=None, dead=0):
    """All weights can be kept but for some at random."""
    alive = torch.ones_like(weight, dtype=torch.bool)
    alive.view(-1)[torch.randperm(weight.numel())[:dead]] = False
    return Quota(alive, keep, pattern, weight.shape[-1])


def matrices(rows=3, columns=6):
    """Weights (2, R, F), and the inputs of the two groups."""
    return torch.randn(2, rows, columns).double(), [spread(30, columns), spread(30, columns) * 2 - 0.5]


def test_scores_of_wanda_and_ria_by_hand(build):
    weight = torch.tensor([[[0.4, -0.1], [0.0, 0.2]]]).double()
    inputs = statistics(torch.tensor([[1.0, 4.0], [1.0, 4.0]]).double())
    scores = build(Wanda, nn.Linear(2, 2)).matrix_scores(weight, inputs)
    torch.testing.assert_close(scores, torch.tensor([[[0.4, 0.4], [0.0, 0.8]]]).double())
    # over the sums of inputs, 0.4 and 0.3, and of outputs, 0.5 and 0.2
    relative = torch.tensor([[[1 + 0.8, 1 / 3 + 0.2], [0.0, 2 / 3 + 1]]]).double()
    for power, factor in ((0.5, 2.0), (2.0, 16.0), (0.0, 1.0)):
        scores = build(RIA, nn.Linear(2, 2), f"--ria_power {power}").matrix_scores(weight, inputs)
        torch.testing.assert_close(scores, relative * torch.tensor([1.0, factor]).double())
    zeros = torch.zeros(1, 2, 2).double()
    assert build(RIA, nn.Linear(2, 2)).matrix_scores(zeros, inputs).tolist() == zeros.tolist()
    small = build(RIA, nn.Linear(2, 2), "--ria_power 0").matrix_scores(weight * 1e-200, inputs)
    torch.testing.assert_close(small, relative)


def test_scores_of_sparsegpt_are_what_a_weight_costs_alone(build):
    weight, inputs = matrices()
    scores = build(SparseGPT, nn.Linear(2, 2)).matrix_scores(weight, statistics(*inputs))
    for group in range(2):
        diagonal = torch.linalg.inv(damped(inputs[group])).diagonal()
        torch.testing.assert_close(scores[group], weight[group].square() / diagonal)


def exchanged(weight, rows, alive, keep, pattern, threshold, cycles):
    """DSnoT's mask of one output, weight by weight."""
    means, squares = rows.mean(0), rows.square().mean(0)
    size = (weight.abs() * squares.sqrt()).masked_fill(~alive, -torch.inf).tolist()
    alive = alive.tolist()
    shift, gain = (weight * means).tolist(), (weight * means / (squares - means.square()).clamp(min=1e-12)).tolist()
    columns = range(len(weight))
    group = [column // pattern[1] if pattern else 0 for column in columns]
    kept = set()
    for number in set(group):
        members = sorted((column for column in columns if group[column] == number), key=lambda j: (-size[j], j))
        kept |= set(members[: pattern[0] if pattern else keep])
    lost = sum(shift[j] for j in columns if j not in kept)
    sign = (lost > 0) - (lost < 0)
    for _ in range(cycles):
        gone = [j for j in columns if j not in kept and alive[j]]
        if not gone or abs(lost) <= threshold or lost * sign <= 0:
            break
        grown = max(gone, key=lambda j: sign * gain[j])
        fitting = [j for j in kept if sign * shift[j] < 0 and group[j] == group[grown]]
        if sign * gain[grown] <= 0 or not fitting:
            break
        pruned = min(fitting, key=size.__getitem__)
        kept = (kept | {grown}) - {pruned}
        lost += shift[pruned] - shift[grown]
    return [j in kept for j in columns]


@pytest.mark.parametrize("pattern", [None, (2, 4)])
@pytest.mark.parametrize(("threshold", "cycles"), [(0.1, 50), (0.0, 50), (0.3, 2), (0.0, 0)])
def test_dsnot_exchanges_weights_of_each_output_as_a_loop_does(build, pattern, threshold, cycles):
    flags = f"--dsnot_threshold {threshold} --dsnot_cycles {cycles}"
    criterion = build(DSnoT, nn.Linear(2, 2), flags)
    moved = 0
    for seed in range(3):
        torch.manual_seed(seed)
        weight, inputs = matrices(rows=4, columns=12)
        inputs = [rows - 0.5 * torch.arange(12) % 3 for rows in inputs]
        # without a pattern some outputs have weights that are gone for good
        given, seen = quota(weight, 56, pattern, dead=0 if pattern else 6), statistics(*inputs)
        before, start = weight.clone(), Wanda.prune_matrix(criterion, weight, seen, given)[1]
        found, mask = criterion.prune_matrix(weight, seen, given)
        assert torch.equal(found, before)
        for group, row in itertools.product(range(2), range(4)):
            keep, alive = int(start[group, row].sum()), given.alive[group, row]
            expected = exchanged(weight[group, row], inputs[group], alive, keep, pattern, threshold, cycles)
            assert mask[group, row].tolist() == expected
            moved += expected != start[group, row].tolist()
    assert (moved > 3) == (cycles > 0)


def test_dsnot_stops_where_what_is_lost_is_just_the_threshold(build):
    # Wanda keeps 3 and 2.5; what is lost is the mean of the last, 2, for which -2.5 would go
    weight, rows = (
        torch.tensor([[[3.0, -2.5, 2.0]]]).double(),
        torch.tensor([[0.5, 0.5, 0.5], [1.5, 1.5, 1.5]]).double(),
    )
    for threshold, kept in ((2.0, [True, True, False]), (1.999, [True, False, True])):
        criterion = build(DSnoT, nn.Linear(2, 2), f"--dsnot_threshold {threshold}")
        assert criterion.prune_matrix(weight, statistics(rows), quota(weight, 2))[1].tolist() == [[kept]]


@pytest.mark.parametrize(("block", "pattern"), [(4, None), (128, None), (128, (1, 3))])
def test_sparsegpt_goes_through_the_columns_of_each_group_with_its_own_moments(build, block, pattern):
    criterion = build(SparseGPT, nn.Linear(2, 2), f"--obs_block {block}")
    weight, inputs = matrices()
    before, given = weight.clone(), quota(weight, 18, pattern)
    found, mask = criterion.prune_matrix(weight, statistics(*inputs), given)
    assert torch.equal(weight, before)
    blocks = [(0, 3), (3, 6)] if pattern else [(0, 4), (4, 6)] if block == 4 else [(0, 6)]
    left = weight.clone()
    for first, end in blocks:
        inverses = [[torch.linalg.inv(damped(rows)[j:, j:]) for j in range(6)] for rows in inputs]
        roots = torch.stack([torch.stack([inverse[0, 0] for inverse in one]) for one in inverses])[:, None]
        costs = (left.square() / roots)[..., first:end]
        if pattern:
            expected = costs == costs.max(-1, keepdim=True).values
        else:
            order = costs.flatten().argsort(descending=True)[: costs.numel() // 2]
            expected = torch.zeros(costs.numel(), dtype=torch.bool).index_fill(0, order, True).view(costs.shape)
        assert torch.equal(mask[..., first:end], expected)
        for group, row, column in itertools.product(range(2), range(3), range(first, end)):
            if not expected[group, row, column - first]:
                inverse = inverses[group][column]
                left[group, row, column:] -= left[group, row, column] / inverse[0, 0] * inverse[:, 0]
    torch.testing.assert_close(found * mask, left * mask, rtol=1e-9, atol=1e-9)


def best(row, kept, moments):
    """The weights within `kept` that are nearest to what the row gives, and their error."""
    found = torch.zeros_like(row)
    found[kept] = torch.linalg.solve(moments[kept][:, kept], (moments @ row)[kept])
    return found, float((row - found) @ moments @ (row - found))


@pytest.mark.parametrize("most", [2**24, 80, 1])
@pytest.mark.parametrize(("pattern", "dead"), [(None, 0), (None, 5), ((1, 3), 0)])
def test_obc_takes_the_cheapest_weight_of_all_outputs_whose_others_make_up_for_it(
    build, monkeypatch, most, pattern, dead
):
    monkeypatch.setattr(criterions.OBC, "MOST_NUMBERS", most)
    criterion, sizes = build(OBC, nn.Linear(2, 2)), []
    costs = criterion.removal_costs
    monkeypatch.setattr(criterion, "removal_costs", lambda *given: sizes.append(len(given[0])) or costs(*given))
    weight, inputs = matrices()
    weight[1, 2] *= 1e-3  # which loses all of its weights
    before, given = weight.clone(), quota(weight, 15, pattern, dead)
    found, mask = criterion.prune_matrix(weight, statistics(*inputs), given)
    assert torch.equal(weight, before)
    assert sizes == {2**24: [6], 80: [2, 2, 2], 1: [1] * 6}[most]

    moments = [damped(rows) for rows in inputs]
    kept = given.alive.clone()
    errors = {
        (group, row): best(weight[group, row], kept[group, row], moments[group])[1]
        for group, row in itertools.product(range(2), range(3))
    }
    while int(kept.sum()) > (12 if pattern else 15):
        options = []
        for group, row, column in kept.nonzero().tolist():
            part = slice(column // 3 * 3, column // 3 * 3 + 3)
            if pattern and kept[group, row, part].sum() == 1:
                continue
            without = kept[group, row].clone()
            without[column] = False
            error = best(weight[group, row], without, moments[group])[1]
            options.append((error - errors[group, row], group, row, column, error))
        _, group, row, column, error = min(options)
        kept[group, row, column], errors[group, row] = False, error
    assert torch.equal(mask, kept)
    if not pattern:
        assert not mask[1, 2].any()
    for group, row in itertools.product(range(2), range(3)):
        expected = best(weight[group, row], kept[group, row], moments[group])[0]
        torch.testing.assert_close(found[group, row], expected, rtol=1e-9, atol=1e-9)


def test_a_layer_of_as_many_columns_as_obc_takes_is_one_of_its_own(build):
    weight, inputs = matrices()
    wide, narrow = (build(OBC, nn.Linear(2, 2), f"--obc_columns {columns}") for columns in (5, 6))
    given = quota(weight, 18)
    expected = build(SparseGPT, nn.Linear(2, 2)).prune_matrix(weight, statistics(*inputs), given)
    found = wide.prune_matrix(weight, statistics(*inputs), given)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert not torch.allclose(narrow.prune_matrix(weight, statistics(*inputs), given)[0], expected[0])
