"""Images become of the size and the channels that are asked for."""

import pytest
import torch

from secateur.utils.errors import UserError
from tests.secateur.data.small_sets import Grey, prepared


def test_grey_images_become_colour_by_repetition():
    data = prepared(Grey, input_dim=[3, 2, 2])
    assert data.input_shape == (3, 2, 2)
    assert data.train.images.pixels[0].tolist() == [[[0, 100], [0, 100]]] * 3
    assert data.held_out.images.pixels.shape == (1, 3, 2, 2)
    inputs, _ = next(iter(data.train))
    # (100 / 255 - 0.25) / 0.5 in every channel
    assert inputs[0, :, 0, 1].tolist() == pytest.approx([0.2843137] * 3, abs=1e-5)


def test_colour_images_become_grey_by_their_mean():
    data = prepared(input_dim=[1, 4, 4])
    assert data.input_shape == (1, 4, 4)
    # Image 3 is (53, 6, 9), of mean 22.67; image 4 is (54, 8, 9), of mean 23.67
    assert data.train.images.pixels[3:5, 0, 0, 0].tolist() == [23, 24]
    inputs, _ = next(iter(data.train))
    # The statistics are the means of those of the channels: (23 / 255 - 0.3) / 0.5
    assert float(inputs[3, 0, 0, 0]) == pytest.approx((23 / 255 - 0.3) / 0.5, abs=1e-5)


def test_resizing_interpolates_linearly_between_the_centres_of_the_pixels():
    data = prepared(Grey, input_dim=[1, 4, 4])
    assert data.input_shape == (1, 4, 4)
    # Twice the size: the new centres lie at 1/4 and 3/4 between the old ones, and the outermost keep their value.
    assert data.train.images.pixels[0, 0].tolist() == [[0, 25, 75, 100]] * 4
    assert data.train.images.pixels[1].unique().tolist() == [200]
    assert data.train.images.pixels.dtype == torch.uint8
    assert data.held_out.images.pixels.shape == (1, 1, 4, 4)


def test_resizing_to_another_aspect_keeps_plain_images_plain():
    data = prepared(input_dim=[3, 7, 3])
    assert data.input_shape == (3, 7, 3)
    assert data.train.images.pixels[:, :, :1, :1].expand(-1, -1, 7, 3).equal(data.train.images.pixels)
    assert data.train.images.pixels[5, :, 0, 0].tolist() == [55, 10, 9]


def test_grey_to_larger_colour_in_one_go():
    data = prepared(Grey, input_dim=[3, 32, 32])
    assert data.train.images.pixels.shape == (2, 3, 32, 32)
    assert data.train.images.pixels.is_contiguous()
    assert data.train.images.labels.tolist() == [0, 1]


def test_channels_that_cannot_be_converted_are_refused():
    with pytest.raises(UserError, match=r"--input_dim 4 .*3 channels convert to 1 only"):
        prepared(input_dim=[4, 4, 4])
