"""Progressive resizing: which size when, pixels worked by hand, what it costs, and what a network does not take."""

import pytest
import torch
from torch import nn

from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training.growing_images import GrowingImages, resized
from secateur.utils.errors import UserError


def convolution():
    return nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_each_size_holds_for_an_equal_part_of_the_epochs():
    growing = GrowingImages([2, 3, 4], 6, convolution(), torch.zeros(1, 1, 4, 4))
    assert [growing.size(epoch) for epoch in range(7)] == [2, 2, 3, 3, 4, 4, 4]
    # of a convolution of one pixel: 4, 9 and 16 pixels
    assert [growing.cost(epoch) for epoch in (0, 2, 4)] == [4 / 16, 9 / 16, 1]
    assert [GrowingImages([2, 4], 3, convolution(), torch.zeros(1, 1, 4, 4)).size(epoch) for epoch in range(3)] == [
        *(2, 2, 4)
    ]


def test_pixels_are_weighted_by_triangles_that_cover_what_they_shrink():
    image = torch.tensor([0.0, 4.0, 8.0, 12.0]).expand(1, 1, 4, 4)
    # each of two pixels is as wide as two: weights 3, 3, 1 of 7 at the border, which cuts the triangle off
    assert resized(image, 2)[0, 0, 0].tolist() == pytest.approx([(0 * 3 + 4 * 3 + 8) / 7, (4 + 8 * 3 + 12 * 3) / 7])
    assert resized(image, 4) is image


def test_training_sees_the_sizes_and_counts_what_they_cost(make_run):
    run = make_run("--model ConvOnly --N 40 --batch_size 20 --epochs 2 --train_sizes 4 8")
    trainer, seen = DefaultTrainer(run), []
    forward = trainer.forward
    trainer.forward = lambda inputs: (seen.append(tuple(inputs.shape[2:])), forward(inputs))[1]
    results = trainer.train()
    assert seen == [(4, 4)] * 2 + [(8, 8)] * 2
    whole = 3 * 40 * run.flops.total
    assert results["flops_training_total"] == pytest.approx(whole * (1 + trainer.growing.costs[4]), rel=1e-6)
    assert trainer.growing.costs[4] < 0.5


def test_a_size_that_the_network_does_not_take_is_one_line(make_run):
    run = make_run("--model LeNet300 --epochs 1 --train_sizes 4")
    with pytest.raises(UserError, match="--train_sizes 4: the network takes no images of 4x4"):
        DefaultTrainer(run)
