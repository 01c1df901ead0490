"""Batch norm in evaluation, and pooling, of blocks of images."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.normalisation import normalise
from secateur.sparse.operations import BlockPooling, Norm, _Normalised


def norm_of(shape, **options):
    norm = (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(shape[0], **options)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    if norm.track_running_stats:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize("shape", [(5, 4, 3), (7,)])
@pytest.mark.parametrize("number", [32, 21])
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
def test_a_norm_in_evaluation_is_torchs_own(shape, number, adds, relu, tracks):
    norm = norm_of(shape, track_running_stats=tracks).eval()
    before = copy.deepcopy(norm.state_dict())
    images, more = torch.randn(number, *shape), torch.randn(number, *shape)
    expected = norm(images) + more if adds else norm(images)
    expected = expected.relu() if relu else expected
    given = [images, more] if adds else [images]
    part = Norm(norm, relu)
    found = part(*map(to_blocks, given), number=number)
    torch.testing.assert_close(from_blocks(found, number), expected)
    torch.testing.assert_close(part(*given), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


def test_a_norm_counts_the_batches_it_has_seen():
    norm = nn.BatchNorm1d(3, momentum=None)
    images = torch.randn(2, 16, 3)
    part = Norm(norm)
    assert part.relu is False
    assert list(part.parameters()) == []
    for batch in images:
        found = part(to_blocks(batch), number=16)
    torch.testing.assert_close(from_blocks(found, 16), functional.batch_norm(images[1], None, None, training=True))
    assert norm.num_batches_tracked == 2
    torch.testing.assert_close(norm.running_mean, images.mean((0, 1)))
    torch.testing.assert_close(norm.running_var, images.var(1).mean(0))


@pytest.mark.parametrize(("eps", "scale"), [(0.0, 1.0), (0.75, 0.5)])
def test_means_and_variances_are_those_of_each_channel(eps, scale):
    blocks = torch.tensor([[0.0, 1.0], [6.0, 0.0]]).view(1, 2, 2, 1).expand(2, 2, 2, 16).contiguous()
    outputs, means, variances = normalise(blocks, None, None, None, eps, relu=False)
    assert means.tolist() == [0.5, 3]
    assert variances.tolist() == [0.25, 9]
    torch.testing.assert_close(outputs[:, 0, 0], torch.full((2, 16), -scale))
    torch.testing.assert_close(outputs[:, 0, 1], torch.full((2, 16), scale))
    torch.testing.assert_close(outputs[:, 1, 1], torch.full((2, 16), -3 / (9 + eps) ** 0.5))
    rectified, _, _ = normalise(blocks, torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0]), -blocks, eps, relu=True)
    torch.testing.assert_close(rectified[:, 0, 0], torch.zeros(2, 16))
    torch.testing.assert_close(rectified[:, 0, 1], torch.full((2, 16), 0.5 + scale * 2 - 1))
    torch.testing.assert_close(rectified[:, 1, 1], torch.full((2, 16), 3 + 3 / (9 + eps) ** 0.5))


@pytest.mark.parametrize(
    ("pooling", "arguments", "keywords"),
    [
        (functional.max_pool2d, (2,), {"stride": (1, 2)}),
        (functional.avg_pool2d, ((3, 2),), {"padding": 1}),
        (functional.adaptive_max_pool2d, ((2, 1),), {}),
        (nn.AvgPool2d((1, 3)), (), {}),
    ],
)
def test_pooling_of_blocks_is_that_of_images(pooling, arguments, keywords):
    images = torch.randn(19, 3, 7, 5)
    part = BlockPooling(pooling)
    found = part(to_blocks(images), *arguments, **keywords)
    assert found.is_contiguous()
    torch.testing.assert_close(from_blocks(found, 19), pooling(images, *arguments, **keywords))
    assert list(part.children()) == []


def test_statistics_of_a_batch_take_no_gradient():
    blocks = torch.randn(1, 3, 16, requires_grad=True)
    outputs, means, variances = _Normalised.apply(blocks, None, None, None, 1e-5, False)
    assert [tensor.requires_grad for tensor in (outputs, means, variances)] == [True, False, False]
