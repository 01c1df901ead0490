"""What a trace knows of layers, norms and attention: which labels they read and put out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.tracing import trace


def numbers(found, of):
    classes = found.labels.classes()
    return {name: classes.of(labels).tolist() for name, labels in of.items()}


def convolutions(*shapes):
    """Convolutions without bias, of (type, inputs, outputs, groups), and one behind them."""
    made = [kind(inputs, outputs, 1, groups=groups, bias=False) for kind, inputs, outputs, groups in shapes]
    return nn.Sequential(*made, nn.Conv2d(shapes[-1][2], 2, 1, bias=False))


@pytest.mark.parametrize(
    ("shapes", "makes", "reads"),
    [
        ([(nn.Conv2d, 1, 2, 1), (nn.ConvTranspose2d, 2, 3, 1)], [[0, 1], [7, 8, 9]], [[2], [0, 1], [7, 8, 9]]),
        ([(nn.Conv2d, 1, 2, 1), (nn.ConvTranspose2d, 2, 4, 2)], [[0, 1], [0, 0, 1, 1]], [[2], [0, 1], [0, 0, 1, 1]]),
        (
            [(nn.Conv2d, 1, 4, 1), (nn.ConvTranspose2d, 4, 6, 2)],
            [[0, 1, 0, 1], [11, 12, 13] * 2],
            [[4], [0, 1, 0, 1], [11, 12, 13] * 2],
        ),
        (
            [(nn.Conv2d, 1, 4, 1), (nn.Conv2d, 4, 6, 2)],
            [[0, 1, 0, 1], [7, 8, 9] * 2],
            [[4], [0, 1, 0, 1], [7, 8, 9] * 2],
        ),
        ([(nn.ConvTranspose2d, 2, 3, 1)], [[2, 3, 4]], [[0, 1], [2, 3, 4]]),
        ([(nn.Conv2d, 1, 1, 1), (nn.ConvTranspose2d, 1, 3, 1)], [[0], [5, 6, 7]], [[1], [0], [5, 6, 7]]),
        ([(nn.Conv2d, 2, 4, 2)], [[0, 1, 0, 1]], [None, [0, 1, 0, 1]]),
    ],
)
def test_what_layers_read_and_put_out_is_counted_by_their_weights(shapes, makes, reads):
    network = convolutions(*shapes)
    network.register_module("unused", nn.Module())
    network.unused.forward = lambda images: images
    network.unused.layer = nn.Linear(2, 2)
    found = trace(network, torch.rand(1, shapes[0][1], 1, 1))
    last = str(len(shapes))
    made = numbers(found, found.makes)
    assert list(made) == [*map(str, range(len(shapes))), last]
    assert list(made.values())[:-1] == makes
    assert numbers(found, found.reads) == {str(place): own for place, own in enumerate(reads) if own}


def test_layers_are_known_whose_weight_is_computed_or_that_read_no_image():
    class Prompted(nn.Module):
        def __init__(self):
            super().__init__()
            self.computed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3, bias=False))
            self.prompt, self.aside = nn.Parameter(torch.rand(1, 4)), nn.Linear(4, 3)
            self.unused = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
            self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, images):
            hidden = self.computed(images) + self.aside(self.prompt)
            return functional.linear(hidden, self.one.weight + self.two.weight)

    found = trace(Prompted(), torch.rand(1, 2))
    assert list(found.makes) == ["computed", "aside", "one", "two"]
    # What is made of weights of two layers is the first one's.
    assert [operation.name for operation in found.uses["one"]] == ["mm"]
    assert "two" not in found.uses


def test_a_norm_that_is_used_twice_reads_both_together():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
            self.norm, self.last = nn.InstanceNorm1d(3), nn.Linear(3, 2)

        def forward(self, images):
            hidden = [layer(images) for layer in (self.one, self.other)]
            hidden = [self.norm(each[..., None].expand(-1, -1, 2)).mean(2) for each in hidden]
            return self.last(hidden[0] + hidden[1].flip(1))

    found = trace(Twice(), torch.rand(1, 2))
    reads, makes = numbers(found, found.reads), numbers(found, found.makes)
    assert reads["norm"] == makes["one"] == makes["other"]
    assert makes["one"][0] == makes["one"][2] != makes["one"][1]


def test_queries_stay_as_wide_where_no_gradients_can_be_taken():
    class WithoutGradients(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries, self.keys, self.last = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, tokens):
            if torch.is_grad_enabled():
                raise RuntimeError("no gradients")
            keys = self.keys(tokens)
            hidden = functional.scaled_dot_product_attention(self.queries(tokens), keys, keys)
            return self.last(functional.scaled_dot_product_attention(keys, keys, hidden))

    found = trace(WithoutGradients(), torch.rand(1, 2, 3))
    assert len(found.scaled) == 2
    assert found.makers == [{}, {}]
    held = found.labels.classes().held
    assert {held[number] for number in numbers(found, found.makes)["queries"]} == {
        "attention is scaled by their number"
    }
