"""Least squares: exact where it can be, and never worse than removal alone."""

import itertools

import pytest
import torch
from torch import nn

from secateur.channels.refitting import refit
from secateur.pruning.fitting import sampled_outputs
from tests.compensated import NORMED, PLAIN, outputs, pruned, randomised


@pytest.mark.parametrize("kind", ["linear", "convolution", "flattened"])
def test_least_squares_is_exact_where_inputs_are_combinations_of_others(kind):
    shape, layers = PLAIN[kind]
    network = nn.Sequential(*(layer for layer in layers() if not isinstance(layer, nn.ReLU | nn.MaxPool2d)))
    if kind == "flattened":
        network[-1] = nn.Linear(20, 3)
    with (
        torch.no_grad()
    ):  # channel 4 is a combination of 0 and 2, and a number that the bias takes but where there is padding
        network[0].weight[4] = network[0].weight[0] - network[0].weight[2]
        network[0].bias[4] = network[0].bias[0] - network[0].bias[2] + (0.7 if kind != "convolution" else 0)
    images = torch.randn(256, *shape[1:])
    expected = outputs(network, images)
    assert pruned(network, torch.zeros(shape), [("0", [4])], "least_squares", [images[:100], images[100:]]) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "seed"), list(itertools.product((*PLAIN, *NORMED), range(3))))
def test_least_squares_is_never_worse_than_removal_alone(kind, seed):
    torch.manual_seed(seed)
    shape, layers = (PLAIN | NORMED)[kind]
    fitted, plain = randomised(nn.Sequential(*layers())), nn.Sequential(*layers())
    plain.load_state_dict(fitted.state_dict())
    images = torch.randn(3 + 40 * seed, *shape[1:])  # fewer than there are weights too
    expected = outputs(fitted, images)
    pruned(fitted, torch.zeros(shape), [("0", [1, 3])], "least_squares", [images])
    pruned(plain, torch.zeros(shape), [("0", [1, 3])], "none")
    errors = [float((outputs(network, images) - expected).norm()) for network in (fitted, plain)]
    assert errors[0] <= errors[1] * (1 + 1e-6)
    assert kind == "transposed" or errors[0] < errors[1]


def test_least_squares_fits_behind_layers_that_were_fitted():
    """The last layer's inputs are off by what the others lost; those of the original network would not show it."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
    images = torch.randn(500, 8)
    expected = outputs(network, images)
    pruned(network, torch.zeros(1, 8), [("0", [0, 1, 2, 3]), ("2", [1])], "least_squares", [images])
    hidden = torch.cat([outputs(network[:4], images), torch.ones(500, 1)], 1).double()
    best = torch.linalg.lstsq(hidden, expected.double()).solution
    least = float((hidden @ best - expected).norm())
    assert float((outputs(network, images) - expected).norm()) == pytest.approx(least, rel=1e-3)


def test_inputs_that_are_lost_have_no_weights_and_what_they_did_is_done_by_others_and_the_bias():
    first = torch.linspace(-1, 2, 40)
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2, 1))
    network[0].weight.data = torch.tensor([[1.0, 2, 4], [0, 1, 0]])[..., None, None]
    network[0].bias.data = torch.tensor([0.5, 0])
    network[2].weight.data, network[2].bias.data = torch.tensor([[1.0, 3]]), torch.tensor([2.0])
    # The second channel is three times the first one and one more; the third is something else.
    images = torch.stack([first, 3 * first + 1, first.square()], 1)[..., None, None]
    removed = {"0": torch.tensor([False, True, False]), "2": torch.tensor([True, False])}
    wanted = sampled_outputs(network, removed, images)
    refit(network, removed, images, wanted)
    kernels = network[0].weight.flatten(1)
    assert kernels[:, 1].tolist() == [0, 0]
    torch.testing.assert_close(kernels, torch.tensor([[7.0, 0, 4], [3.0, 0, 0]]), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(network[0].bias, torch.tensor([2.5, 1]), rtol=1e-2, atol=1e-2)
    assert network[2].weight[0, 0] == 0
    assert network[2].weight[0, 1] != 3
