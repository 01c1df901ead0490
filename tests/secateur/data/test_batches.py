"""Batches: every image once an epoch, the same ones again for the same number, normalised by the book."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.data.augmentation import HorizontalFlip, RandomCrop
from secateur.data.batches import Batches
from secateur.data.data_set import Images


def numbered(number):
    """`number` images of 1x2x2, of which the one with label i has the pixels i mod 256."""
    labels = torch.arange(number)
    return Images((labels % 256).byte()[:, None, None, None].expand(-1, 1, 2, 2).contiguous(), labels)


def plain(number, batch_size, seed=0):
    """Batches whose normalisation is a division by 255."""
    return Batches(numbered(number), batch_size, mean=[0.0], std=[1.0], seed=seed)


def varied(seed=0):
    generator = torch.Generator().manual_seed(99)
    pixels = torch.randint(0, 256, (100, 3, 6, 6), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(100))
    return Batches(images, 16, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4], [RandomCrop(2), HorizontalFlip()], seed)


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
        for one, other in zip(first, second, strict=True)
    )


def test_normalisation_by_hand():
    pixels = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 2, 1, 2)
    batches = Batches(Images(pixels, torch.tensor([3])), 4, mean=[0.2, 0.5], std=[0.1, 0.25])
    [(inputs, targets)] = list(batches)
    # Channel 0: (0 - 0.2) / 0.1 and (0.2 - 0.2) / 0.1; channel 1: (1 - 0.5) / 0.25 and (0.4 - 0.5) / 0.25
    assert inputs.flatten().tolist() == pytest.approx([-2, 0, 2, -0.4], abs=1e-6)
    assert inputs.dtype == torch.float32
    assert inputs.shape == (1, 2, 1, 2)
    assert targets.tolist() == [3]


@settings(deadline=None)
@given(
    mean=st.floats(0, 1),
    std=st.floats(0.01, 1),
    values=st.lists(st.integers(0, 255), min_size=1, max_size=20),
)
def test_normalisation_equals_its_formula(mean, std, values):
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)
    batches = Batches(Images(pixels, torch.zeros(len(values), dtype=torch.int64)), 64, [mean], [std])
    expected = [(value / 255 - mean) / std for value in values]
    found = torch.cat([inputs.flatten() for inputs, _ in batches]).tolist()
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5 / std)


def test_normalised_by_their_own_statistics_the_images_have_mean_zero_and_deviation_one():
    pixels = torch.randint(0, 256, (200, 3, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    scaled = pixels.double() / 255
    batches = Batches(
        Images(pixels, torch.zeros(200, dtype=torch.int64)),
        64,
        scaled.mean((0, 2, 3)).tolist(),
        scaled.std((0, 2, 3), correction=0).tolist(),
    )
    inputs = torch.cat([inputs for inputs, _ in batches])
    assert inputs.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert inputs.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


@settings(deadline=None)
@given(
    number=st.integers(0, 90), batch_size=st.integers(1, 33), epoch=st.integers(-3, 5), seed=st.integers(0, 2**32 - 1)
)
def test_every_image_appears_once_an_epoch_with_its_own_label(number, batch_size, epoch, seed):
    batches = list(plain(number, batch_size, seed).epoch(epoch))
    labels = [label for _, targets in batches for label in targets.tolist()]
    assert sorted(labels) == list(range(number))
    for inputs, targets in batches:
        expected = (targets.float() / 255)[:, None, None, None].expand(-1, 1, 2, 2)
        assert torch.allclose(inputs, expected, rtol=1e-6, atol=0)


@settings(deadline=None)
@given(number=st.integers(2, 90), batch_size=st.integers(2, 33))
def test_batches_are_full_but_for_the_last_and_none_is_of_one_image(number, batch_size):
    batches = plain(number, batch_size)
    sizes = [len(targets) for _, targets in batches]
    assert sizes == [len(targets) for _, targets in batches.epoch(0)]
    assert len(batches) == len(sizes)
    assert sum(sizes) == number
    assert all(size == batch_size for size in sizes[:-1])
    assert 2 <= sizes[-1] <= batch_size + 1


@pytest.mark.parametrize(
    ("number", "batch_size", "sizes"),
    [(9, 4, [4, 5]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (5, 4, [5]), (3, 4, [3]), (1, 4, [1]), (0, 4, [])],
)
def test_a_single_image_left_over_joins_the_batch_before(number, batch_size, sizes):
    batches = plain(number, batch_size)
    assert [len(targets) for _, targets in batches] == sizes
    assert [len(targets) for _, targets in batches.epoch(3)] == sizes
    assert len(batches) == len(sizes)


def test_iterating_gives_the_images_in_order_without_augmentation():
    batches = varied()
    pixels = torch.cat([inputs for inputs, _ in batches])
    labels = torch.cat([targets for _, targets in batches])
    assert labels.tolist() == list(range(100))
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    expected = (batches.images.pixels / 255 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(pixels, expected, atol=1e-5)


def test_the_same_epoch_is_the_same_bit_for_bit():
    assert same(list(varied().epoch(4)), list(varied().epoch(4)))


def test_an_epoch_depends_neither_on_what_ran_before_nor_on_the_global_generator():
    alone = list(varied().epoch(2))
    batches = varied()
    torch.manual_seed(1)
    first, second = batches.epoch(1), batches.epoch(2)
    interleaved = []
    for _ in range(len(batches)):
        next(first)
        torch.rand(3)
        interleaved.append(next(second))
    assert same(alone, interleaved)


def test_an_epoch_leaves_the_global_generator_and_the_images_alone():
    batches = varied()
    pixels, state = batches.images.pixels.clone(), torch.get_rng_state()
    list(batches.epoch(0))
    list(batches)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(batches.images.pixels, pixels)


@pytest.mark.parametrize("other", [1, 2, -1, -2])
def test_different_epochs_differ_in_order_and_in_augmentation(other):
    batches = varied()
    orders = [torch.cat([targets for _, targets in batches.epoch(number)]) for number in (0, other)]
    assert not torch.equal(*orders)
    pixels = [
        torch.cat([inputs for inputs, _ in batches.epoch(number)])[order.argsort()]
        for number, order in zip((0, other), orders, strict=True)
    ]
    assert not torch.equal(*pixels)


def test_different_seeds_differ():
    assert not same(list(varied(seed=1).epoch(0)), list(varied(seed=2).epoch(0)))


def test_augmentation_is_applied_in_the_given_order():
    def zero(images, generator):
        return torch.zeros_like(images)

    def one_more(images, generator):
        return images + 1

    for augmentation, expected in (([zero, one_more], 1), ([one_more, zero], 0)):
        batches = Batches(numbered(6), 4, [0.0], [1 / 255], augmentation)
        values = torch.cat([inputs for inputs, _ in batches.epoch(0)])
        assert torch.allclose(values, torch.full_like(values, expected))


def test_a_subset_has_its_images_alone_normalised_as_before():
    batches = plain(10, 3)
    few = batches.subset(torch.tensor([7, 2, 9, 4]))
    assert torch.cat([labels for _, labels in few]).tolist() == [7, 2, 9, 4]
    assert torch.cat([inputs for inputs, _ in few])[:, 0, 0, 0].mul(255).round().tolist() == [7, 2, 9, 4]
    assert [len(labels) for _, labels in few.epoch(0)] == [4], "a single image left over joins the others"
    assert len(batches.images) == 10


def test_the_sizes_of_whole_batches_are_told():
    assert plain(9, 4).sizes == [4, 5]
    assert plain(10, 4).sizes == [4, 4, 2]


def test_with_alternating_flip_two_epochs_show_each_image_both_ways():
    pixels = torch.arange(24, dtype=torch.uint8).view(12, 1, 1, 2)
    batches = Batches(Images(pixels, torch.arange(12)), 5, [0.0], [1 / 255], alternating_flip=True)
    seen = []
    for epoch in range(3):
        inputs, labels = (torch.cat(parts) for parts in zip(*batches.epoch(epoch), strict=True))
        seen.append(inputs[labels.argsort()].flatten(1).round().int().tolist())
    for number, (first, second, third) in enumerate(zip(*seen, strict=True)):
        assert first == second[::-1] == third
        assert sorted(first) == [2 * number, 2 * number + 1]
    assert 0 < sum(first[0] > first[1] for first in seen[0]) < 12
