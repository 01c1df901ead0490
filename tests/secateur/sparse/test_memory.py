"""Kernels write what they are told to and nothing beside it, whatever stood in memory before."""

import pytest
import torch
from torch.nn import functional

from secateur.sparse import convolution
from secateur.sparse.convolution import PlaneJobs, convolve_blocks, from_blocks, to_blocks, weight_gradients
from secateur.sparse.kernels import address_of
from secateur.sparse.lists import PlaneWalk, Shape, backward_walks, forward_walk

#: Convolutions, their outputs and inputs in each group, and sizes of images: one beside the other, where registers hold
#: less than a row, where the border is wider than the kernel, where taps are far apart or outputs few.
CASES = [
    (Shape((3, 2), (1, 1), (1, 0)), 5, 3, (7, 19)),
    (Shape((1, 1), (1, 1), (3, 2)), 2, 2, (3, 2)),
    (Shape((3, 3), (2, 3), (2, 1), (1, 2)), 3, 2, (9, 11)),
    (Shape((2, 4), (3, 2), (0, 3), (3, 1), groups=2), 2, 3, (8, 6)),
    (Shape((3, 1), (2, 2), (4, 0), (4, 1)), 3, 1, (5, 3)),
    (Shape((1, 3), (2, 1), (0, 2), (1, 3), groups=3), 1, 2, (4, 33)),
]


class Guarded:
    """Memory that is NaN between and beside what is taken of it."""

    def __init__(self):
        self.taken = []

    def bytes(self, length):
        """The address of so many bytes."""
        memory = torch.full((length + 8192,), 255, dtype=torch.uint8)
        start = -(-memory.data_ptr() // 64) * 64 + 4096
        self.taken.append((memory, start - memory.data_ptr(), length))
        return start

    def empty(self, *shape):
        """A tensor of NaN."""
        count = torch.Size(shape).numel()
        self.bytes(4 * count)
        memory, start, length = self.taken[-1]
        return memory[start : start + length].view(torch.float32).view(shape)

    def is_whole(self):
        return all(
            (memory[:start] == 255).all() and (memory[start + length :] == 255).all()
            for memory, start, length in self.taken
        )


@pytest.fixture
def memory(monkeypatch):
    guarded = Guarded()
    monkeypatch.setattr(convolution, "_aligned", guarded.bytes)
    yield guarded
    assert guarded.is_whole()


def numbers(*shape):
    """Whole numbers, so that all sums are exact."""
    return torch.randint(-4, 5, shape).float()


@pytest.fixture(params=CASES, ids=[str(number) for number in range(len(CASES))])
def case(request):
    shape, outputs, inputs, size = request.param
    weight = numbers(outputs * shape.groups, inputs, *shape.kernel)
    weight[-1] = 0
    return shape, weight, numbers(18, inputs * shape.groups, *size).requires_grad_()


def dense(shape, weight, images, bias=None):
    return functional.conv2d(images, weight, bias, shape.stride, shape.padding, shape.dilation, shape.groups)


def test_blocks(memory, case):
    shape, weight, images = case
    size, kept = tuple(images.shape[2:]), weight != 0
    weight.requires_grad_()
    expected = dense(shape, weight, images)
    gradients = numbers(*expected.shape)
    expected.backward(gradients)
    walk, values, blocks = forward_walk(kept, shape, size), weight.detach().flatten(), to_blocks(images.detach())
    outputs = memory.empty(2, *expected.shape[1:], 16)
    convolve_blocks(walk, blocks, values[walk.places], outputs)
    assert torch.equal(from_blocks(outputs, 18), expected)
    given_back = memory.empty(*blocks.shape)
    for (row, column), back in backward_walks(kept, shape, size):
        part = given_back[:, :, row :: shape.stride[0], column :: shape.stride[1]]
        convolve_blocks(back, to_blocks(gradients), values[back.places], part)
    assert torch.equal(from_blocks(given_back, 18), images.grad)
    assert torch.equal(weight_gradients(walk, blocks, to_blocks(gradients)), weight.grad.flatten()[walk.places])


@pytest.mark.parametrize("threads", [1, 3])
def test_images_as_they_are(memory, case, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    shape, weight, images = case
    images, bias = images.detach()[:2], numbers(len(weight))
    expected = dense(shape, weight, images, bias)
    walk = PlaneWalk(weight != 0, shape, tuple(images.shape[2:]))
    added, values = numbers(*expected.shape), weight.flatten()[walk.places]
    outputs = [memory.empty(*expected.shape) for _ in range(2)]
    # One layer after the other in one call, of which the first has neither bias nor ReLU.
    plain = (*map(address_of, (images, outputs[0], values, None, None)), False)
    full = (*map(address_of, (images, outputs[1], values, bias, added)), True)
    PlaneJobs([walk, walk], 2).run([plain, full])
    assert torch.equal(outputs[0], expected - bias[:, None, None])
    assert torch.equal(outputs[1], (expected + added).relu())


def test_bias_what_is_added_and_relu_of_blocks(memory, case):
    shape, weight, images = case
    images, bias = images.detach(), numbers(len(weight))
    expected = dense(shape, weight, images, bias)
    walk, added = forward_walk(weight != 0, shape, tuple(images.shape[2:])), numbers(*expected.shape)
    outputs, values = memory.empty(2, *expected.shape[1:], 16), weight.flatten()[walk.places]
    convolve_blocks(walk, to_blocks(images), values, outputs, bias, to_blocks(added), relu=True)
    assert torch.equal(from_blocks(outputs, 18), (expected + added).relu())
    convolve_blocks(walk, to_blocks(images), values, outputs, bias)
    assert torch.equal(from_blocks(outputs, 18), expected)
