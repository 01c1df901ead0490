"""Any images in a NumPy file."""

from pathlib import Path

import torch

from secateur.config.option import option
from secateur.data.array_files import load_arrays
from secateur.data.data_set import DataSet, Images
from secateur.data.statistics import channel_statistics


class ARRAYS(DataSet):
    """The arrays x_train, y_train, x_test, y_test of an .npz file: `--data_dir` names it, or a folder with one.

    The images are uint8 from 0 to 255, or floating-point from 0 to 1, which become 256 steps; of shape (N, H, W) for
    grey, (N, H, W, C) or (N, C, H, W), where the axis of length 1 or 3 is that of the channels. The labels are whole
    numbers from 0, of shape (N,) or (N, 1). Normalised by the training images; not augmented.
    """

    # Known once the file was read.
    input_shape = (3, 32, 32)
    num_classes = 2
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    axes: str | None = option(
        None,
        "order of the axes, if the shape is ambiguous: NHWC or NCHW (channels last or first)",
        choices=("NHWC", "NCHW"),
    )

    def load(self, folder: Path) -> tuple[Images, Images]:
        """Read the file; nothing in it is unpickled."""
        train, test = load_arrays(folder, self.axes)
        self.input_shape = train.shape
        self.num_classes = max(int(torch.cat([train.labels, test.labels]).max()) + 1, 2)
        self.mean, self.std = channel_statistics(train)
        return train, test
