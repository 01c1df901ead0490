"""Images that go through in parts are looked at by the rows that all at once are."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from secateur.pruning.layer_inputs import sampled_rows, see_inputs
from secateur.pruning.looking import Images


class Windows(nn.Module):
    """A layer gets four windows of each image, another one tokens (T, N, C), if they are to come first."""

    def __init__(self, tokens_first):
        super().__init__()
        self.stem, self.windows, self.tokens = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 2, 2), nn.Linear(8, 4)
        self.tokens_first = tokens_first

    def forward(self, images):
        parts = self.stem(images).unflatten(2, (2, 3)).unflatten(4, (2, 3)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        rows = self.windows(parts).flatten(1).unflatten(0, (len(images), 4))
        if self.tokens_first:
            return self.tokens(rows.transpose(0, 1)).mean(0)
        return self.tokens(rows).mean(1)


def looked_at(images, network, names):
    found = {name: [] for name in names}
    outputs = images.look(network, names, lambda name, _, parts: found[name].extend(parts))
    return {name: torch.cat(parts) for name, parts in found.items()}, outputs


@pytest.mark.parametrize(("tokens_first", "parts"), [(False, [64, 64, 22]), (True, [150])])
def test_parts_have_the_rows_of_all_images_at_once(tokens_first, parts):
    """150 images have 600 windows with 4 places each, all of which are looked at, and 36 places of the stem's."""
    torch.manual_seed(0)
    network, names = Windows(tokens_first).eval(), ["stem", "windows", "tokens"]
    images = torch.randn(150, 1, 6, 6)
    wanted = {}

    def see(name, layer, inputs):
        wanted[name] = torch.cat(list(sampled_rows(name, layer, inputs)))

    outputs = see_inputs(network, names, images, see)
    ours = Images(network, names, images)
    assert [len(part) for part in ours.parts] == parts
    found, gave = looked_at(ours, network, names)
    assert_close(gave, outputs)
    assert {name: len(rows) for name, rows in found.items()} == {"stem": 5400, "windows": 2400, "tokens": 600}
    for name in names:
        assert_close(found[name], wanted[name])


def test_places_are_chosen_alike_and_images_beyond_the_most_rows_are_left_out():
    """Of 300 images of 64 places 33 are taken of each; of 10,100 images of one place the first 10,000."""
    layer = nn.Conv2d(1, 1, 1)
    for images, size, rows in ((300, 8, 9_900), (10_100, 1, 10_000)):
        inputs = torch.arange(images * size**2, dtype=torch.float32).view(images, 1, size, size)
        wanted = torch.cat(list(sampled_rows("", layer, inputs)))
        ours = Images(layer, [""], inputs)
        assert len(ours.parts) == -(-images // 64)
        found, _ = looked_at(ours, layer, [""])
        assert len(found[""]) == rows
        assert torch.equal(found[""], wanted)


@pytest.mark.parametrize("give", [lambda outputs: (outputs, outputs), lambda outputs: outputs.mean(0, keepdim=True)])
def test_images_go_at_once_through_what_gives_no_tensor_that_begins_with_them(give):
    class Other(nn.Linear):
        def forward(self, inputs):
            return give(super().forward(inputs))

    network, images = Other(3, 2), torch.randn(70, 3)
    ours = Images(network, [""], images)
    assert [len(part) for part in ours.parts] == [70]
    assert_close(ours.look(network, [], print), network(images))


def test_one_image_goes_through_alone():
    assert [len(part) for part in Images(nn.Linear(3, 2), [""], torch.randn(1, 3)).parts] == [1]
