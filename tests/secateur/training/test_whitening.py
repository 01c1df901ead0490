"""Whitened patches: by hand, by their law, what stays as it was, and networks and images that cannot be whitened."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.data.batches import Batches
from secateur.data.data_set import Images
from secateur.runs.checkpoint import save_checkpoint
from secateur.training.whitening import EPSILON, Whitening, whitening_filters
from secateur.utils.errors import UserError


def batches(pixels):
    """Batches of four of images (N, C, H, W), pixels from 0 to 255, that are taken as they are."""
    channels = pixels.shape[1]
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    return Batches(Images(pixels.to(torch.uint8), labels), 4, [0.0] * channels, [1 / 255] * channels)


def random_batches(number=30, size=6, channels=2):
    return batches(torch.randint(0, 5, (number, channels, size, size)))


def test_two_pixels_by_hand():
    # patches (1, 0), (-1, 0), (0, 2), (0, -2) around (2, 2): variances 2 along the second pixel, 1/2 along the first
    train = batches(torch.tensor([[3, 2], [1, 2], [2, 4], [2, 0]]).view(4, 1, 1, 2))
    filters = whitening_filters(nn.Conv2d(1, 4, (1, 2)), train)
    wanted = torch.tensor([[0, 1 / (2 + EPSILON) ** 0.5], [1 / (0.5 + EPSILON) ** 0.5, 0]])
    assert filters.shape == (2, 1, 1, 2)
    torch.testing.assert_close(filters.abs().flatten(1), wanted)


@pytest.mark.parametrize(
    "layer", [{"kernel_size": 3}, {"kernel_size": 2, "stride": 2}, {"kernel_size": 2, "dilation": 3}]
)
def test_what_it_puts_out_over_the_patches_has_the_identity_for_covariance(layer):
    train = random_batches()
    convolution = nn.Conv2d(2, 18, **layer, bias=False)
    filters = whitening_filters(convolution, train)
    images = torch.cat([inputs for inputs, _ in train])
    outputs = functional.conv2d(images, filters, stride=convolution.stride, dilation=convolution.dilation)
    covariance = outputs.transpose(0, 1).flatten(1).cov(correction=0)
    torch.testing.assert_close(covariance, torch.eye(len(filters)), atol=0.01, rtol=0)
    norms = filters.flatten(1).norm(dim=1)
    assert (norms.diff() >= 0).all()  # the largest variance, which is divided by, comes first


@pytest.mark.parametrize(("channels", "pairs", "own"), [(5, 3, 0), (6, 3, 0), (20, 8, 4)])
def test_each_filter_comes_with_both_signs_and_what_is_left_stays(channels, pairs, own):
    network = nn.Sequential(nn.Conv2d(2, channels, 2), nn.Flatten())
    drawn, whiten = network[0].weight.detach().clone(), Whitening(random_batches())
    state = torch.get_rng_state()
    whiten(network)
    weight = network[0].weight.detach()
    assert weight[:pairs].equal(whiten.filters[:pairs])
    assert weight[pairs : channels - own].equal(-whiten.filters[: channels - own - pairs])
    assert weight[channels - own :].equal(drawn[channels - own :])
    assert torch.get_rng_state().equal(state)


def test_patches_that_never_differ_in_a_direction_have_finite_filters():
    grey = torch.randint(0, 5, (20, 1, 4, 4)).expand(-1, 3, -1, -1)
    filters = whitening_filters(nn.Conv2d(3, 4, 1), batches(grey))
    assert filters.isfinite().all()
    assert float(filters[1].norm()) == pytest.approx(EPSILON**-0.5, rel=1e-3)


NETWORK = (
    "--model LeNet5_BN --data_set RUBBISH --rubbish_images 60 --input_dim 3 16 16 --N 60 --batch_size 20 --epochs 1"
)


def test_a_run_begins_with_it_and_everything_else_is_drawn_as_without(make_run):
    plain, run = make_run(NETWORK), make_run(f"{NETWORK} --whitening")
    first, *others = [name for name, _ in run.network.named_parameters()]
    parameters, without = dict(run.network.named_parameters()), dict(plain.network.named_parameters())
    assert not parameters[first].equal(without[first])
    assert all(parameters[name].equal(without[name]) for name in others)
    fresh = dict(run.fresh_network(run.options.seed + 1).named_parameters())
    assert fresh[first].equal(parameters[first])  # which --reinitialise takes
    assert not fresh[others[-2]].equal(parameters[others[-2]])


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("--model LeNet300", "--whitening: the first layer of LeNet300, .*, is a Linear: leave it out, or take"),
        (
            "--model ResNet20 --N 2 --input_dim 3 4 4",
            "2 training images have 8 patches of 3x3, too few .* of 27 weights",
        ),
    ],
)
def test_what_cannot_be_whitened_is_one_line(run, command, line):
    outcome = run(f"{command} --whitening --epochs 1")
    assert (outcome.status, outcome.folder) == (2, None)
    (found,) = outcome.err.splitlines()
    assert re.search(line, found)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (nn.Sequential(nn.Flatten()), "Sequential has no convolution"),
        (nn.Sequential(nn.Conv2d(2, 4, 1, groups=2)), "has 2 groups"),
        (nn.Sequential(nn.AvgPool2d(1), nn.ReLU(), nn.Conv2d(2, 4, 1)), "does not read the images"),
    ],
)
def test_a_network_that_begins_otherwise_is_one_line(network, line):
    with pytest.raises(UserError, match=f"--whitening: .*{line}"):
        Whitening(random_batches())(network)


def test_loaded_weights_replace_it_which_is_said(make_run):
    trained = make_run(NETWORK)
    save_checkpoint(trained.folder.models / "LeNet5_BN_finished", trained.network, trained.masks, trained.model_spec)
    run = make_run(f"{NETWORK} --whitening --checkpoint_name {trained.folder.path}")
    assert "--whitening has no effect where all weights are loaded" in run.notices
