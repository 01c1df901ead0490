"""Settings of the data and of the network's shape. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import Section, option


class DataOptions(Section):
    """Which images a run sees, in which shape."""

    title = "network and data"

    data_dir: Path | None = option(
        None,
        "folder of the data sets (default: gitignored/data)",
        is_path=True,
        on_resume=True,
        changes_numbers=False,
        common="what to train",
        suggested_for="data_path data_root datadir dataroot root dataset_dir dataset_path",
    )
    input_dim: list[int] | None = option(
        None,
        "convert the images to this shape, channels height width, as in --input_dim 3 32 32",
        low=1,
        high=4096,
        words="+",
        suggested_for="input_size input_shape img_size resolution",
    )
    output_dim: int | None = option(
        None,
        "number of outputs of the network; at least the number of classes",
        low=2,
        high=1_000_000,
        suggested_for="num_classes n_classes nclass classes",
    )
    hidden_dim: int | None = option(
        None,
        "width of the hidden layers, for networks with one such width",
        low=1,
        high=1_000_000,
        suggested_for="hidden hidden_size width hidden_units",
    )
    whitening: bool = option(
        False,
        "let the first convolution begin with filters that whiten patches of the training images",
        only_training=True,
        suggested_for="whiten whitening_layer whiten_first_layer whiten_patches patch_whitening zca",
    )
    batch_size: int | None = option(
        None,
        "images per batch (default: what the data set suggests)",
        low=1,
        high=10_000_000,
        common="how to train",
        suggested_for="bs batch train_batch train_batch_size test_batch_size mini_batch_size",
    )
    N: int | None = option(
        None,
        "train on the first N training images only; where they lie class by class, on the first of each",
        low=1,
        smoke=2,
        suggested_for="num_samples n_samples max_samples train_size train_samples subset limit_train_batches",
    )
    num_valid: int | None = option(
        None,
        "training images to hold out for --keep_best or --tuning (default: a tenth of each class)",
        low=1,
        smoke=10,
        suggested_for="val_size valid_size val_split validation_split n_val",
    )
    tuning: bool = option(
        False,
        "validate on held-out training images, a tenth or --num_valid, and do not use the test set",
        suggested_for="validate validation val holdout",
    )
    alternating_flip: bool = option(
        False, "mirror a training image in every other epoch instead of at random, of data sets that mirror"
    )
    random_shuffle_labels: bool = option(
        False,
        "train on randomly shuffled labels (Zhang et al., 2017)",
        only_training=True,
        suggested_for="random_labels shuffle_labels",
    )
    disable_autoconfig: bool = option(
        False, "do not take shape, normalisation, augmentation and batch size from the data set"
    )
