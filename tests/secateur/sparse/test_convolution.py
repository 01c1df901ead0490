"""Every product by lists is torch's own, whatever the shape."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from secateur.sparse.convolution import PlaneJobs, convolve_blocks, from_blocks, to_blocks, weight_gradients
from secateur.sparse.kernels import address_of
from secateur.sparse.lists import PlaneWalk, Shape, backward_walks, forward_walk
from secateur.sparse.threads import on_all_threads

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw):
    """A convolution, its sparse weight and images, of which the number need not fill a block."""
    kernel, stride, dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), draw(pairs), draw(pairs)
    padding, groups = draw(st.tuples(st.integers(0, 3), st.integers(0, 3))), draw(st.integers(1, 3))
    inputs, outputs = groups * draw(st.integers(1, 4)), groups * draw(st.integers(1, 4))
    size = [
        max(1, spacing * (taps - 1) + 1 - 2 * border) + draw(st.integers(0, 22))
        for taps, spacing, border in zip(kernel, dilation, padding, strict=True)
    ]
    torch.manual_seed(draw(st.integers(0, 1000)))
    weight = torch.randn(outputs, inputs // groups, *kernel)
    weight *= torch.rand_like(weight) < draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    images = torch.randn(draw(st.sampled_from([1, 5, 16, 17, 33])), inputs, *size)
    return Shape(kernel, stride, padding, dilation, groups), weight, images


def dense(shape, weight, images):
    return functional.conv2d(images, weight, None, shape.stride, shape.padding, shape.dilation, shape.groups)


def assert_close(found, expected):
    assert not found.isnan().any()
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-30


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_blocks_of_images_give_the_dense_outputs_and_gradients(convolution):
    shape, weight, images = convolution
    images, weight = images.requires_grad_(), weight.requires_grad_()
    expected = dense(shape, weight, images)
    gradients = torch.randn_like(expected)
    expected.backward(gradients)
    kept, size = weight.detach() != 0, tuple(images.shape[2:])
    walk, inputs = forward_walk(kept, shape, size), to_blocks(images.detach())
    values = weight.detach().flatten()

    outputs = torch.full((len(inputs), len(weight), *expected.shape[2:], 16), torch.nan)
    convolve_blocks(walk, inputs, values[walk.places], outputs)
    assert_close(from_blocks(outputs, len(images)), expected)

    given_back = torch.full_like(inputs, torch.nan)
    for (row, column), back in backward_walks(kept, shape, size):
        part = given_back[:, :, row :: shape.stride[0], column :: shape.stride[1]]
        convolve_blocks(back, to_blocks(gradients), values[back.places], part)
    assert_close(from_blocks(given_back, len(images)), images.grad)

    sums = weight_gradients(walk, inputs, to_blocks(gradients))
    assert len(sums) == kept.sum()
    if len(sums):
        assert_close(sums, weight.grad.flatten()[walk.places])


def convolve_few(walk, images, weights, outputs, bias=None, added=None, relu=False):
    """What is done for a few images as they are, (N, C, H, W)."""
    parts = (images, outputs, weights, bias, added)
    PlaneJobs([walk], len(images)).run([(*map(address_of, parts), relu)])


@settings(deadline=None, max_examples=60)
@given(convolutions(), st.booleans(), st.booleans(), st.booleans())
def test_bias_addition_and_relu_are_part_of_the_product(convolution, few, adds, relu):
    shape, weight, images = convolution
    images = images[:3] if few else images
    bias = torch.randn(len(weight))
    expected = dense(shape, weight, images) + bias[:, None, None]
    added = torch.randn_like(expected) if adds else None
    expected = expected if added is None else expected + added
    expected = expected.relu() if relu else expected
    if few:
        walk = PlaneWalk(weight != 0, shape, tuple(images.shape[2:]))
        found = torch.full_like(expected, torch.nan)
        convolve_few(walk, images, weight.flatten()[walk.places], found, bias, added, relu)
    else:
        walk = forward_walk(weight != 0, shape, tuple(images.shape[2:]))
        outputs = torch.full_like(to_blocks(expected), torch.nan)
        more = None if added is None else to_blocks(added)
        convolve_blocks(walk, to_blocks(images), weight.flatten()[walk.places], outputs, bias, more, relu)
        found = from_blocks(outputs, len(images))
    assert_close(found, expected)


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_no_bit(threads):
    shape = Shape((3, 3), (1, 1), (1, 1))
    weight = torch.randn(20, 7, 3, 3) * (torch.rand(20, 7, 3, 3) < 0.3)
    images = torch.randn(48, 7, 9, 9)
    walk, planes = forward_walk(weight != 0, shape, (9, 9)), PlaneWalk(weight != 0, shape, (9, 9))
    before = torch.get_num_threads()

    def results():
        outputs, few = torch.empty(3, 20, 9, 9, 16), torch.empty(2, 20, 9, 9)
        convolve_blocks(walk, to_blocks(images), weight.flatten()[walk.places], outputs)
        convolve_few(planes, images[:2], weight.flatten()[planes.places], few)
        return outputs, few, weight_gradients(walk, to_blocks(images), outputs)

    alone = results()
    try:
        torch.set_num_threads(threads)
        together = results()
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_without_openmp_python_threads_call_the_kernel(monkeypatch):
    called = []

    class Kernel:
        ctypes = staticmethod(called.append)

    monkeypatch.setattr("secateur.sparse.threads._openmp", lambda: None)
    on_all_threads(Kernel, 7, 3)
    assert called == [7, 7, 7]


def test_nan_passes_the_relu_as_in_torch():
    walk = forward_walk(torch.ones(1, 1, 1, 1, dtype=torch.bool), Shape((1, 1)), (1, 2))
    images = torch.tensor([[torch.nan, -1.0]]).view(1, 1, 1, 2)
    outputs = torch.empty(1, 1, 1, 2, 16)
    convolve_blocks(walk, to_blocks(images), torch.ones(1), outputs, relu=True)
    found = from_blocks(outputs, 1).flatten()
    assert found[0].isnan()
    assert found[1] == 0
