"""Rows of a layer's inputs, and their statistics."""

import pytest
import torch
from torch import nn

from secateur.pruning import layer_inputs
from secateur.pruning.fitting import outputs_of
from secateur.pruning.layer_inputs import (
    InputStatistics,
    input_statistics,
    sampled_rows,
    see_inputs,
    seeing_outputs,
    unfolded,
    unseen_statistics,
)
from secateur.utils.errors import UserError


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
def test_the_rows_that_are_looked_at_give_the_layers_own_outputs(padding_mode):
    layer = nn.Conv2d(2, 3, (3, 2), stride=2, padding=(2, 1), dilation=(1, 2), padding_mode=padding_mode)
    images = torch.randn(40, 2, 7, 5)  # more than are unfolded at once
    rows = list(sampled_rows("a", layer, images))
    wanted = layer(images).flatten(2).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(torch.cat([outputs_of(layer, part) for part in rows]), wanted)


def test_of_many_places_as_many_are_looked_at_as_there_is_room_for():
    layer, images = nn.Conv2d(1, 1, 1), torch.randn(40, 1, 8, 8)
    rows = torch.cat(list(sampled_rows("a", layer, images, 100)))
    assert len(rows) == 40 * (100 // 40)
    assert torch.isin(rows, images).all()
    assert torch.equal(rows, torch.cat(list(sampled_rows("a", layer, images, 100))))  # the same for the same name
    assert not torch.equal(rows, torch.cat(list(sampled_rows("b", layer, images, 100))))
    assert len(torch.cat(list(sampled_rows("a", layer, torch.randn(140, 1, 8, 8), 100)))) == 100


@pytest.mark.parametrize(
    ("layer", "shape", "places"),
    [
        (nn.Linear(3, 2), (4, 3), 1),
        (nn.Linear(3, 2), (4, 2, 5, 3), 10),
        (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2)), (4, 2, 7, 5), 5 * 5),
        (nn.Conv1d(2, 2, 3, stride=3, groups=2), (4, 2, 11), 3),
        (nn.ConvTranspose2d(2, 3, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2)), (4, 2, 3, 2), 6 * 7),
        (nn.ConvTranspose1d(2, 3, 3, dilation=2), (4, 2, 5), 9),
    ],
)
def test_all_places_are_looked_at_where_there_is_room_and_else_as_many_as_there_is(layer, shape, places):
    inputs = torch.randn(shape)
    whole = unfolded(layer, inputs)
    assert whole.shape[:2] == (4, places)
    assert torch.equal(torch.cat(list(sampled_rows("a", layer, inputs, 4 * places))), whole.flatten(0, 1))
    assert torch.equal(torch.cat(list(sampled_rows("a", layer, inputs))), whole.flatten(0, 1))
    if places > 1:
        rows = torch.cat(list(sampled_rows("a", layer, inputs, 4 * places - 1)))
        assert len(rows) == 4 * (places - 1)
        of_images = rows.unflatten(0, (4, -1))[:, None]
        assert (whole[:, :, None] == of_images).flatten(3).all(3).any(1).all()
        assert sum(map(len, sampled_rows("a", layer, inputs[:1], places - 1))) == places - 1
    rows = torch.cat(list(sampled_rows("a", layer, inputs, 3)))
    assert len(rows) == 3  # of an image each
    assert all((whole[number] == row).flatten(1).all(1).any() for number, row in enumerate(rows))


def test_ten_thousand_places_are_enough():
    rows = sampled_rows("a", nn.Conv1d(1, 1, 1), torch.randn(2, 1, 6000))
    assert sum(map(len, rows)) == 10000


def test_statistics_are_means_over_all_rows_by_hand():
    inputs = torch.tensor([[1.0, 2.0], [3.0, -4.0], [0.0, 5.0], [4.0, 1.0]])
    found = input_statistics("a", nn.Linear(2, 3), inputs, moments=True)
    assert found.mean.tolist() == [[2.0, 1.0]]
    assert found.square.tolist() == [[26 / 4, 46 / 4]]
    assert found.moments.tolist() == [[[26 / 4, -6 / 4], [-6 / 4, 46 / 4]]]
    assert {one.dtype for one in (found.mean, found.square, found.moments)} == {torch.float64}
    assert input_statistics("a", nn.Linear(2, 3), inputs, moments=False).moments is None


def test_statistics_are_of_four_rows_a_column_at_least(monkeypatch):
    inputs = torch.arange(60.0).view(20, 3)
    assert input_statistics("a", nn.Linear(3, 2), inputs, moments=False).mean.tolist() == [[28.5, 29.5, 30.5]]
    monkeypatch.setattr(layer_inputs, "MOST_ROWS", 10)
    found = input_statistics("a", nn.Linear(3, 2), inputs, moments=True)  # of the first twelve images
    assert found.mean.tolist() == [[16.5, 17.5, 18.5]]


def test_columns_of_a_convolution_are_the_inputs_of_each_place_one_place_after_another():
    images = torch.tensor([[[1.0, 2.0, 4.0], [10.0, 20.0, 40.0], [3.0, 5.0, 7.0], [0.0, 0.0, 9.0]]])
    found = input_statistics("a", nn.Conv1d(4, 2, 2, groups=2), images, moments=True)
    # two rows: of the first group 1, 10, 2, 20 and 2, 20, 4, 40
    assert found.mean.tolist() == [[1.5, 15.0, 3.0, 30.0], [4.0, 0.0, 6.0, 4.5]]
    assert found.square.tolist() == [[2.5, 250.0, 10.0, 1000.0], [17.0, 0.0, 37.0, 40.5]]
    assert found.moments[1].tolist() == [[17, 0, 25, 22.5], [0, 0, 0, 0], [25, 0, 37, 31.5], [22.5, 0, 31.5, 40.5]]


def statistics(*squares):
    squares = torch.tensor(squares, dtype=torch.float64)
    return InputStatistics(0 * squares, squares, torch.diag_embed(squares))


def test_the_diagonal_is_damped_by_a_fraction_of_its_mean_group_by_group():
    found = statistics([0.1, 0.3], [6.0, 2.0], [0.0, 0.0])
    assert found.added(0.5).tolist() == [[pytest.approx(0.1)], [2.0], [1.0]]
    torch.testing.assert_close(
        found.damped(0.5).diagonal(dim1=1, dim2=2), torch.tensor([[0.2, 0.4], [8.0, 4.0], [1.0, 1.0]]).double()
    )
    assert found.damped(0.5)[1].tolist() == [[8.0, 0.0], [0.0, 4.0]]
    torch.testing.assert_close(found.inverse(0.5)[1], torch.tensor([[1 / 8, 0.0], [0.0, 1 / 4]]).double())


def test_a_single_group_without_an_inverse_is_refused():
    with pytest.raises(UserError) as raised:
        statistics([6.0, 2.0], [1.0, -3.0]).inverse(0.01)
    assert str(raised.value) == "--damping 0.01: a layer's moments cannot be inverted: increase it"


def test_of_inputs_that_nobody_has_seen_all_are_alike():
    found = unseen_statistics(nn.Conv2d(4, 6, (1, 2), groups=2))
    assert found.mean.tolist() == [[0.0] * 4] * 2
    assert found.square.tolist() == [[1.0] * 4] * 2
    assert found.moments.tolist() == torch.eye(4).expand(2, 4, 4).tolist()
    assert {one.dtype for one in (found.mean, found.square, found.moments)} == {torch.float64}


def test_inputs_are_seen_before_a_layer_runs_and_what_is_done_to_it_has_its_effect():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Dropout(0.9), nn.Linear(2, 1, bias=False))
    seen = []

    def double(name, layer, inputs):
        seen.append((name, layer, inputs.tolist()))
        layer.weight.fill_(2.0)

    images = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert see_inputs(network, ["2", "0"], images, double).tolist() == [[24.0], [56.0]]
    assert seen == [("0", network[0], images.tolist()), ("2", network[2], [[6.0, 6.0], [14.0, 14.0]])]
    assert network[1].training
    network(images)
    assert len(seen) == 2


def test_outputs_are_seen_and_may_go_on_as_others():
    network = nn.Sequential(nn.Identity(), nn.ReLU(), nn.Identity())
    seen = []

    def negate(name, module, outputs):
        seen.append((name, module, outputs.tolist()))
        return -outputs if name == "1" else None

    images = torch.tensor([[1.0, -2.0]])
    with seeing_outputs(network, ["2", "1"], negate):
        assert network(images).tolist() == [[-1.0, 0.0]]
    assert seen == [("1", network[1], [[1.0, 0.0]]), ("2", network[2], [[-1.0, 0.0]])]
    assert network(images).tolist() == [[1.0, 0.0]]
    assert len(seen) == 2
