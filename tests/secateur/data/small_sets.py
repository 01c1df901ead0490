"""Small data sets whose images tell which they are."""

from pathlib import Path

import torch

from secateur.data.augmentation import HorizontalFlip
from secateur.data.data_set import DataSet, Images
from secateur.data.options import DataOptions
from secateur.data.prepare import prepare_data
from secateur.runs.options import RunOptions

#: Images of each of the four classes in the training set: tenths that are round numbers, and others.
COUNTS = (40, 20, 33, 7)
SEED = RunOptions().seed


def colour_images(labels, first):
    """Image i of the set has the pixels `first` + i in red, twice as much less 100 in green, and 9 in blue."""
    values = first + torch.arange(len(labels))
    pixels = torch.stack([values, 2 * values - 100, torch.full_like(values, 9)], 1).byte()
    return Images(pixels[:, :, None, None].expand(-1, -1, 4, 4).contiguous(), labels)


class Coloured(DataSet):
    """A hundred training images in mixed order, whose red value tells which one it is, and ten test images."""

    input_shape = (3, 4, 4)
    num_classes = 4
    mean = (0.1, 0.2, 0.6)
    std = (0.5, 0.25, 0.75)
    augmentation = (HorizontalFlip(),)
    batch_size = 16

    def load(self, folder):
        labels = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
        labels = labels[torch.randperm(100, generator=torch.Generator().manual_seed(5))]
        return colour_images(labels, 50), colour_images(torch.arange(10) % 4, 150)


class Grey(DataSet):
    """Two training images of 1x2x2 and one test image."""

    input_shape = (1, 2, 2)
    num_classes = 2
    mean = (0.25,)
    std = (0.5,)

    def load(self, folder):
        pixels = torch.tensor([[[[0, 100], [0, 100]]], [[[200, 200], [200, 200]]]], dtype=torch.uint8)
        return Images(pixels, torch.tensor([0, 1])), Images(pixels[:1], torch.tensor([1]))


def prepared(data_set=Coloured, seed=SEED, validates=False, **options):
    """What `prepare_data` makes of a data set, with flags as `options`."""
    options = DataOptions(data_dir=Path("unused"), **options)
    return prepare_data(data_set(), options, torch.device("cpu"), seed=seed, validates=validates)
