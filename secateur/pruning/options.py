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
        suggested_for="limit sparsity target_sparsity final_sparsity prune_ratio pruning_ratio amount sparsity_ratio",
    )
    compression: float | None = option(
        None,
        "final sparsity as a compression ratio: 10 means --pruning_limit 0.9",
        low=1,
        metavar="RATIO",
        only_training=True,
        suggested_for="compression_ratio compression_rate ratio",
    )
    target: list[str] | None = option(
        None,
        "prune until a budget is met, as latency=0.33 or flops=30M; latency, flops, params or bytes, each as a "
        "fraction of the dense network's or as a number: latency=3ms@64 (for a batch of 64; else of 1), params=1M, "
        "bytes=2MB; of several, all are met",
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
        "how sparsity increases over the pruning steps",
        flag="prune_schedule",
        choices=("one_shot", "snip_it", "linear", "exponential", "cubic"),
        only_training=True,
        common="how to prune",
        suggested_for="schedule pruning_schedule sparsity_schedule pruner_schedule",
    )
    timing: str = option(
        "before",
        "when to prune, relative to training",
        flag="prune_moment",
        choices=("before", "during", "rounds", "late", "after"),
        only_training=True,
        common="how to prune",
        suggested_for="timing when prune_when prune_at pruning_time",
    )
    distribution: str = option(
        "global",
        "how sparsity is distributed over the layers",
        choices=("global", "uniform", "erdos_renyi", "erdos_renyi_kernel", "isomorphic", "sensitivity"),
        suggested_for="mask_scope scope allocation layer_distribution global_pruning layerwise",
    )
    sensitivity: Path | None = option(None, "for --distribution sensitivity: the run folder of the tester Sensitivity")
    layer_sparsity: list[str] | None = option(
        None,
        "final sparsity of single layers, by name or pattern, as 'layer4.*=0.5,conv1=0'; the last match counts, and "
        "the other layers together reach the limit",
        pattern=(r".+=\d*\.?\d+", "NAME=FRACTION, as 'layer4.*=0.5'"),
        metavar="NAME=X,...",
        suggested_for="layer_ratios ch_sparsity_dict pruning_ratio_dict layer_wise_sparsity",
    )
    snip_steps: int | None = option(
        5,
        "pruning steps of the iterative schedules",
        low=1,
        high=10_000,
        metavar="S",
        only_training=True,
        suggested_for="steps prune_steps pruning_steps iterations iterative_steps prune_epochs num_steps",
    )
    prune_delay: int = option(
        0,
        "pruning during training: epochs before the first pruning step",
        low=0,
        metavar="EPOCHS",
        smoke=1,
        only_training=True,
        suggested_for="prune_start start_epoch begin_epoch warmup warmup_epochs",
    )
    prune_freq: int = option(
        1,
        "pruning during training: epochs between pruning steps",
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
        "keep N of every M weights along the inputs, as 2:4",
        pattern=(r"unstructured|\d{1,4}:\d{1,4}", "unstructured or N:M with N < M, as 2:4"),
        metavar="N:M",
        suggested_for="n_m nm sparsity_type sparse_pattern",
    )
    ignore_layers: list[str] | None = option(
        None,
        "layers that are not pruned, by name or pattern, as features.0 or 'layer4.*'; criteria that remove channels "
        "keep their output channels, and those coupled to them",
        metavar="NAME,NAME,...",
        suggested_for="ignored_layers exclude exclude_layers skip_layers",
    )
    saliency_batches: int = option(
        5,
        "batches of training data for computing scores",
        low=1,
        suggested_for="calibration_batches num_batches prune_batches nsamples prune_dataset_ratio",
    )
    samples_per_class: int | None = option(
        None,
        "images of every class in each of these batches, which are then class-balanced (GraSP's program: 10)",
        low=1,
    )
    repair: list[str] | None = option(
        None,
        "bring the outputs back towards the dense network's after pruning, on --saliency_batches batches, by one or "
        "several of these in order: merge, of channels, is --compensate merge, bn estimates batch-norm statistics "
        "anew, bias corrects mean outputs, least_squares refits each layer, distill trains the whole network to match",
        choices=("merge", "bn", "bias", "least_squares", "distill"),
        metavar="NAME,NAME,...",
        suggested_for="recalibrate bn_recalibration calibrate reconstruct reconstruction",
    )
    repair_between: list[str] | None = option(
        None,
        "repairs after each of several steps made at once (--prune_schedule), but the last, so that the "
        "next one scores repaired weights",
        choices=("bn", "bias", "least_squares", "distill"),
        metavar="NAME,NAME,...",
        suggested_for="repair_each repair_every iterative_repair",
    )
    repair_images: int | None = option(
        None,
        "images that errors and all repairs but distill are computed on (default: all of --saliency_batches)",
        low=1,
    )
    distill_steps: int = option(500, "training steps of --repair distill", low=1, smoke=2)
    distill_rate: float = option(1e-3, "step size of Adam in --repair distill, which falls to zero", low=0, above=True)
    shuffle_masks: bool = option(
        False,
        "sanity check: shuffle the final mask within each layer (Frankle et al., 2020)",
        suggested_for="shuffle shuffle_mask",
    )
    invert_scores: bool = option(
        False,
        "sanity check: prune the highest-scoring weights (Frankle et al., 2020)",
        suggested_for="invert reverse reverse_scores",
    )
