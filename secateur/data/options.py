"""Settings of the data and of the network's shape. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import Section, option


class DataOptions(Section):
    """Which images a run sees, in which shape."""

    title = "network and data"

    data_dir: Path | None = option(
        None,
        "where data sets lie (default: gitignored/data)",
        is_path=True,
        on_resume=True,
        changes_numbers=False,
    )
    input_dim: list[int] | None = option(
        None,
        "channels height width: convert the images to this shape, as in --input_dim 3 32 32",
        low=1,
        high=4096,
        words="+",
    )
    output_dim: int | None = option(
        None, "outputs of the network, at least the classes of the data set", low=2, high=1_000_000
    )
    hidden_dim: int | None = option(
        None, "width of the hidden layers, for networks that have one width", low=1, high=1_000_000
    )
    batch_size: int | None = option(
        None, "images in a batch (default: what the data set suggests)", low=1, high=10_000_000
    )
    N: int | None = option(
        None,
        "train on the first N training images only; where they lie class by class, on the first of each",
        low=1,
        smoke=2,
    )
    num_valid: int | None = option(
        None,
        "training images to hold out for --keep_best or --tuning (default: a tenth of each class)",
        low=1,
        smoke=10,
    )
    tuning: bool = option(
        False,
        "hold a tenth of the training set, or --num_valid images, out for validation and leave the test set alone",
    )
    alternating_flip: bool = option(
        False, "mirror a training image in every other epoch instead of at random, of data sets that mirror"
    )
    random_shuffle_labels: bool = option(
        False, "train on labels in random order (Zhang et al., 2017)", only_training=True
    )
    disable_autoconfig: bool = option(
        False, "take no shape, normalisation, augmentation or batch size from the data set"
    )
