"""Augmentation: what it may do to an image, and what it may not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from secateur.data.augmentation import HorizontalFlip, RandomCrop, RandomResizedCrop, mirror, mirrored_in_turn


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(number, channels, height, width):
    """Images whose pixels are all different and none of them 0, so that a window can be found again."""
    count = channels * height * width
    assert count < 256
    return torch.arange(1, count + 1, dtype=torch.uint8).view(1, channels, height, width).repeat(number, 1, 1, 1)


def test_flip_with_probability_one_mirrors_every_row():
    images = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)
    assert HorizontalFlip(1.0)(images, generator()).tolist() == [[[[3, 2, 1], [6, 5, 4]]]]


def test_flip_with_probability_zero_changes_nothing():
    images = numbered(50, 2, 3, 4)
    assert torch.equal(HorizontalFlip(0.0)(images, generator()), images)


def test_each_image_is_mirrored_in_every_other_epoch():
    which = [mirrored_in_turn(1000, epoch, seed=3) for epoch in range(-1, 3)]
    assert torch.equal(which[0], ~which[1])
    assert torch.equal(which[1], ~which[2])
    assert torch.equal(which[1], which[3])
    assert not torch.equal(which[1], mirrored_in_turn(1000, 0, seed=4))
    assert 420 < int(which[1].sum()) < 580  # five standard deviations: 5 * sqrt(1000 / 4) = 79
    images = torch.tensor([[[[1, 2]]], [[[3, 4]]]], dtype=torch.uint8)
    assert mirror(images, torch.tensor([True, False])).flatten().tolist() == [2, 1, 3, 4]


def test_flip_mirrors_an_image_whole_or_not_at_all_and_as_often_as_it_says():
    images = numbered(4000, 3, 2, 3)
    flipped = HorizontalFlip(0.2)(images, generator())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    untouched = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ untouched).all()
    # Five standard deviations of a binomial of 4,000 draws: 5 * sqrt(0.2 * 0.8 / 4000) = 0.032
    assert float(mirrored.float().mean()) == pytest.approx(0.2, abs=0.032)


@settings(deadline=None)
@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    padding=st.integers(0, 5),
    seed=st.integers(0, 1000),
)
def test_every_crop_is_one_window_of_the_padded_image(channels, height, width, padding, seed):
    images = numbered(6, channels, height, width)
    cropped = RandomCrop(padding)(images, generator(seed))
    assert cropped.shape == images.shape
    assert cropped.dtype == torch.uint8
    padded = functional.pad(images[0], [padding] * 4)
    windows = torch.stack(
        [
            padded[:, row : row + height, column : column + width]
            for row in range(2 * padding + 1)
            for column in range(2 * padding + 1)
        ]
    )
    for image in cropped:
        assert (windows == image).flatten(1).all(1).any()


def test_crop_by_hand():
    images = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8).repeat(300, 1, 1, 1)
    seen = {tuple(image.flatten().tolist()) for image in RandomCrop(1)(images, generator())}
    assert seen == {
        (0, 0, 0, 1), (0, 0, 1, 2), (0, 0, 2, 0),
        (0, 1, 0, 3), (1, 2, 3, 4), (2, 0, 4, 0),
        (0, 3, 0, 0), (3, 4, 0, 0), (4, 0, 0, 0),
    }  # fmt: skip


def test_crop_without_padding_changes_nothing():
    images = numbered(20, 3, 4, 5)
    assert torch.equal(RandomCrop(0)(images, generator()), images)


def test_crop_shifts_in_every_direction_equally_often():
    images = torch.zeros(4500, 1, 3, 3, dtype=torch.uint8)
    images[:, :, 1, 1] = 1
    found = RandomCrop(1)(images, generator()).flatten(1).argmax(1).bincount(minlength=9)
    # 500 of each of the nine shifts, and five standard deviations: 5 * sqrt(4500 * 1/9 * 8/9) = 105
    assert found.sum() == 4500
    assert ((found - 500).abs() < 105).all()


@pytest.mark.parametrize("augment", [HorizontalFlip(), RandomCrop(2)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_randomness_comes_from_the_given_generator_alone_and_the_input_stays_as_it_was(augment, kind):
    images = numbered(40, 2, 5, 6).to(kind)
    before = images.clone()
    state = torch.get_rng_state()
    first = augment(images, generator(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, before)
    assert first.dtype == kind
    assert torch.equal(augment(images, generator(7)), first)
    assert not torch.equal(augment(images, generator(8)), first)


def ramps(number, height, width):
    """Images whose first channel is the column and whose second is the row, in steps of four."""
    columns = torch.arange(width)[None].expand(height, width) * 4
    rows = torch.arange(height)[:, None].expand(height, width) * 4
    return torch.stack([columns, rows])[None].repeat(number, 1, 1, 1).byte()


def test_a_part_of_the_whole_area_is_the_image_itself():
    images = torch.randint(0, 256, (9, 3, 7, 5), generator=generator(), dtype=torch.uint8)
    assert RandomResizedCrop(1.0, 1.0)(images, generator()).equal(images)


def test_parts_are_rectangles_of_the_area_and_proportions_asked_for_and_lie_anywhere():
    height, width, smallest = 60, 40, 0.35
    enlarged = RandomResizedCrop(smallest)(ramps(3000, height, width), generator()).double() / 4
    assert (enlarged[:, 0] - enlarged[:, 0, :1]).abs().max() <= 0.25, "columns stay columns, but for rounding"
    assert (enlarged[:, 1] - enlarged[:, 1, :, :1]).abs().max() <= 0.25
    # Between the centres of the first and the last pixel lie all but one of them.
    wide = (enlarged[:, 0, 0, -2] - enlarged[:, 0, 0, 1]) / (width - 3)
    high = (enlarged[:, 1, -2, 0] - enlarged[:, 1, 1, 0]) / (height - 3)
    areas, stretches = wide * high, wide / high
    whole = torch.maximum(wide, high) > 0.98  # these may have been cut off at the border
    assert areas.min() > 0.3
    assert areas[~whole].min() > smallest - 0.02
    assert areas.max() <= 1.02
    assert 4 / 3 * 0.9 < stretches[~whole].max() < 4 / 3 * 1.03
    assert 3 / 4 * 0.97 < stretches[~whole].min() < 3 / 4 * 1.1
    middles = (enlarged[:, 0, 0, 0] + enlarged[:, 0, 0, -1]) / 2 / (width - 1)
    assert float(middles.mean()) == pytest.approx(0.5, abs=0.01)
    assert middles.min() < 0.36
    assert middles.max() > 0.64


def test_a_part_that_is_longer_than_the_image_ends_where_the_image_does():
    whole = ramps(50, 8, 6)
    enlarged = RandomResizedCrop(1.0, 16.0)(whole, generator())
    along = [(enlarged[:, axis] == whole[:, axis]).flatten(1).all(1) for axis in (0, 1)]
    assert (along[0] | along[1]).all(), "of the whole area, one side at least is whole"
    assert not (along[0] & along[1]).any()
