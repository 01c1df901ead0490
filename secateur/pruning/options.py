"""Settings of every criterion. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import Configurable, option


class CriterionOptions(Configurable):
    """How much is pruned, on which axes, and the sanity checks of a mask."""

    title = "pruning"

    pruning_limit: float = option(
        0.5,
        "final sparsity: the fraction of the prunable weights that is pruned",
        low=0,
        high=1,
        below=True,
        metavar="FRACTION",
        only_training=True,
        common="how to prune",
        suggested_for="sparsity target_sparsity final_sparsity prune_ratio pruning_ratio amount sparsity_ratio",
    )
    compression: float | None = option(
        None,
        "the same as a ratio: 10 means --pruning_limit 0.9",
        low=1,
        metavar="RATIO",
        only_training=True,
        suggested_for="compression_ratio compression_rate ratio",
    )
    target: list[str] | None = option(
        None,
        "prune as much as this takes, found by measuring: latency, flops, params or bytes, each as a fraction of the "
        "network's before or as a number, as latency=0.33, latency=3ms@64 (of a batch of 64; else of 1), flops=30M, "
        "params=1M, bytes=2MB; of several all hold",
        pattern=(
            r"(latency|flops|params|bytes)=\d*\.?\d+[a-zA-Zµ]*(@\d+)?",
            "NAME=AMOUNT, as latency=0.33 or params=1M",
        ),
        metavar="NAME=AMOUNT,...",
        only_training=True,
        common="how to prune",
        suggested_for="budget target_flops target_latency target_params macs speedup constraint",
    )
    # The axes, each a name in the module of the same name.
    schedule: str = option(
        "one_shot",
        "how the target is approached",
        flag="prune_schedule",
        choices=("one_shot", "snip_it", "linear", "exponential", "cubic"),
        only_training=True,
        common="how to prune",
        suggested_for="schedule pruning_schedule sparsity_schedule pruner_schedule",
    )
    timing: str = option(
        "before",
        "when weights are pruned",
        flag="prune_moment",
        choices=("before", "during", "rounds", "late", "after"),
        only_training=True,
        common="how to prune",
        suggested_for="timing when prune_when prune_at pruning_time",
    )
    distribution: str = option(
        "global",
        "how the kept weights are spread over the layers",
        choices=("global", "uniform", "erdos_renyi", "erdos_renyi_kernel", "isomorphic", "sensitivity"),
        suggested_for="mask_scope scope allocation layer_distribution global_pruning layerwise",
    )
    sensitivity: Path | None = option(
        None, "the folder of the run of the tester Sensitivity that --distribution sensitivity goes by"
    )
    layer_sparsity: list[str] | None = option(
        None,
        "final sparsity of single layers, by name or pattern, as 'layer4.*=0.5,conv1=0', where the last that fits "
        "counts; the limit is that of all others",
        pattern=(r".+=\d*\.?\d+", "NAME=FRACTION, as 'layer4.*=0.5'"),
        metavar="NAME=X,...",
        suggested_for="layer_ratios ch_sparsity_dict pruning_ratio_dict layer_wise_sparsity",
    )
    snip_steps: int | None = option(
        5,
        "steps of the iterative schedules",
        low=1,
        high=10_000,
        metavar="S",
        only_training=True,
        suggested_for="steps prune_steps pruning_steps iterations iterative_steps prune_epochs num_steps",
    )
    prune_delay: int = option(
        0,
        "pruning during training: epochs before the first step",
        low=0,
        metavar="EPOCHS",
        smoke=1,
        only_training=True,
        suggested_for="prune_start start_epoch begin_epoch warmup warmup_epochs",
    )
    prune_freq: int = option(
        1,
        "pruning during training: epochs from one step to the next",
        low=1,
        metavar="EPOCHS",
        smoke=1,
        only_training=True,
        suggested_for="prune_frequency prune_every prune_interval pruning_interval delta_t",
    )
    experiment: str = option(
        "singleshot",
        "singleshot (or example): prune, then train; multishot: --snip_steps times train --pre_epochs, prune, rewind",
        choices=("singleshot", "example", "multishot"),
        metavar="NAME",
        only_training=True,
    )
    pattern: str = option(
        "unstructured",
        "keep N of each M weights along the inputs, as 2:4",
        pattern=(r"unstructured|\d{1,4}:\d{1,4}", "unstructured or N:M with N < M, as 2:4"),
        metavar="N:M",
        suggested_for="n_m nm sparsity_type sparse_pattern",
    )
    ignore_layers: list[str] | None = option(
        None,
        "layers that are not pruned, by name or pattern, as features.0 or 'layer4.*'; of criteria that remove channels "
        "those of their outputs, and what is coupled to them",
        metavar="NAME,NAME,...",
        suggested_for="ignored_layers exclude exclude_layers skip_layers",
    )
    saliency_batches: int = option(
        5,
        "batches of training data that scores are computed on",
        low=1,
        suggested_for="calibration_batches num_batches prune_batches nsamples prune_dataset_ratio",
    )
    samples_per_class: int | None = option(
        None, "make up each of those batches of so many images of every class (GraSP's program: 10)", low=1
    )
    repair: list[str] | None = option(
        None,
        "bring what is left nearer to what the network gave before, on --saliency_batches batches, one after another: "
        "batch norms take new statistics, biases what the mean outputs have lost, layers are fitted by least squares, "
        "or all of it is distilled",
        choices=("bn", "bias", "least_squares", "distill"),
        metavar="NAME,NAME,...",
        suggested_for="recalibrate bn_recalibration calibrate reconstruct reconstruction",
    )
    distill_steps: int = option(300, "steps of --repair distill", low=1, smoke=2)
    shuffle_masks: bool = option(
        False,
        "sanity check: shuffle the final mask within each layer (Frankle et al., 2020)",
        suggested_for="shuffle shuffle_mask",
    )
    invert_scores: bool = option(
        False,
        "sanity check: prune the weights with the largest scores (Frankle et al., 2020)",
        suggested_for="invert reverse reverse_scores",
    )
