"""Rows of a layer's inputs."""

import pytest
import torch
from torch import nn

from secateur.pruning.fitting import outputs_of
from secateur.pruning.layer_inputs import sampled_rows


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
