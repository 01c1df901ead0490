"""The flags of every run. What belongs to one component is declared in that component's file instead."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from utils.ranges import commas_within, names, number, numbers, one_of, several_of, text

Group = argparse._ArgumentGroup
#: The group of the flags that say how several runs are run.
MANY_RUNS = "many runs"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add every flag of the laboratory, group by group."""
    _network_and_data(parser.add_argument_group("network and data"))
    _pruning(parser.add_argument_group("pruning"))
    _training(parser.add_argument_group("training"))
    _testing(parser.add_argument_group("testing (--eval)"))
    _results(parser.add_argument_group("checkpoints and results"))
    _machine(parser.add_argument_group("machine"))
    _pictures(parser.add_argument_group("pictures and statistics"))
    _grids(
        parser.add_argument_group(
            MANY_RUNS, "Several values in any flag make a run of each combination, as in --seed 1,2,3."
        )
    )
    _questions(parser.add_argument_group("questions"))


def _option(
    group: Group,
    flags: str,
    metavar: str,
    help: str,
    type: Callable[[str], Any] = str,
    default: Any = None,
    nargs: str | None = None,
) -> None:
    """Add an option that takes a value. `flags` holds its names, separated by spaces."""
    shown = help if default in (None, "") else f"{help} (default: %(default)s)".strip()
    group.add_argument(*flags.split(), metavar=metavar, help=shown, type=type, default=default, nargs=nargs)


def _switch(group: Group, flag: str, help_text: str) -> None:
    group.add_argument(flag, action="store_true", help=help_text)


class StandsFor(argparse._StoreTrueAction):
    """A flag without a value that names a component, as `--option value` does; what is typed is read from both."""

    def __init__(self, option_strings: list[str], dest: str, option: str, value: str) -> None:
        super().__init__(option_strings, dest, help=f"--{option} {value}")
        self.option, self.value = option, value


def _stands_for(group: Group, flag: str, option: str, value: str) -> None:
    group.add_argument(flag, action=StandsFor, option=option, value=value)


def _fraction(text: str) -> float:
    try:
        return float(Fraction(text))
    except ZeroDivisionError as error:
        raise ValueError from error


def _matching(pattern: str, wanted: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}")
        return text

    return read


def _network_and_data(group: Group) -> None:
    _option(
        group,
        "--model",
        "NAME",
        "network: a class in models/, of a plugin, or torchvision:NAME, timm:NAME",
        str,
        "ResNet18",
    )
    _option(
        group,
        "--data_set --dataset",
        "NAME",
        "data set: a class in data_sets/ or of a plugin; DIGITS needs no download",
        str,
        "DIGITS",
    )
    _option(group, "--data_dir", "PATH", "where data sets lie (default: gitignored/data)", Path)
    _option(
        group,
        "--input_dim",
        "N",
        "channels height width: convert the images to this shape, as in --input_dim 3 32 32",
        number(int, 1, 4096),
        nargs="+",
    )
    _option(
        group,
        "--output_dim",
        "N",
        "outputs of the network, at least the classes of the data set",
        number(int, 2, 10**6),
    )
    _option(
        group,
        "--hidden_dim",
        "N",
        "width of the hidden layers, for networks that have one width",
        number(int, 1, 10**6),
    )
    _option(group, "--N", "N", "train on the first N training images only", number(int, 1))
    _switch(
        group,
        "--smoke",
        "try it out in seconds: a few images, made up where a data set is not there, and epochs; of a grid a few runs",
    )
    _switch(group, "--tuning", "hold a tenth of the training set out for validation and leave the test set alone")
    _switch(group, "--random_shuffle_labels", "train on labels in random order (Zhang et al., 2017)")
    _switch(
        group,
        "--preload_all_data",
        "decode image files into memory, even where it is scarce and they would be streamed",
    )
    _switch(group, "--disable_autoconfig", "take no shape, normalisation, augmentation or batch size from the data set")


def _pruning(group: Group) -> None:
    _option(
        group,
        "--prune_criterion --pruner",
        "NAME",
        "criterion: a class in criterions/ or of a plugin; EmptyCrit prunes nothing",
        str,
        "EmptyCrit",
    )
    _option(
        group,
        "--pruning_limit",
        "SHARE",
        "final sparsity: the share of the competing weights that goes",
        number(float, 0, 1, below=True),
        0.5,
    )
    _option(group, "--compression", "RATIO", "the same as a ratio: 10 means --pruning_limit 0.9", number(float, 1))
    _option(
        group,
        "--pruning_rate",
        "SHARE",
        "share one event takes; UnstructuredRandom reads it as the limit where that is not given",
        number(float, 0, 1, below=True),
        0.0,
    )
    _option(group, "--snip_steps", "S", "steps of the iterative schedules", number(int, 1, 10_000), 5)
    _option(
        group, "--prune_delay", "EPOCHS", "pruning during training: epochs before the first event", number(int, 0), 0
    )
    _option(
        group, "--prune_freq", "EPOCHS", "pruning during training: epochs from one event to the next", number(int, 1), 1
    )
    _option(group, "--pre_epochs", "N", "train this long before the first pruning; --epochs follow", number(int, 0), 0)
    _switch(
        group,
        "--outer_layer_pruning",
        "let the weights of the first and the last layer compete too (channels of the first always do, inputs and "
        "classes never)",
    )
    _switch(group, "--no_compact", "do not keep the network without the channels it does not need, <Model>_compact")
    _switch(group, "--disable_masking", "set pruned weights to zero once, without holding them there")
    _option(
        group,
        "--growing_rate",
        "SHARE",
        "share of the kept weights that one event grows, for criteria that grow (default: as many as it takes)",
        number(float, 0, 1),
    )
    _switch(group, "--enable_rewinding", "after each event go back to the state saved at --rewind_to")
    _option(
        group,
        "--rewind_to --rewind_epoch",
        "EPOCH",
        "epochs trained at that state; 0: initialisation",
        number(int, 0),
        0,
    )
    _switch(
        group, "--rewind_weights_only", "rewind the prunable weights alone: no biases, norms, optimizer or schedule"
    )
    _option(
        group,
        "--experiment",
        "NAME",
        "singleshot (or example): prune, then train; multishot: --snip_steps times train --pre_epochs, prune, rewind",
        one_of("singleshot", "example", "multishot"),
        "singleshot",
    )


def _training(group: Group) -> None:
    _option(group, "--epochs --post_epochs", "N", "epochs of training", number(int, 0, 10**6), 80)
    _option(
        group, "--batch_size", "N", "images in a batch (default: what the data set suggests)", number(int, 1, 10**7)
    )
    _option(group, "--optimizer", "NAME", "ADAM, SGD, RMSPROP or any class of torch.optim", str, "ADAM")
    _option(group, "--learning_rate", "RATE", "", number(float, 0, above=True), 2e-3)
    _option(
        group,
        "--lr_schedule",
        "SCHEDULE",
        "constant, cosine, onecycle or steps:60,120x0.1",
        commas_within(
            str,
            _matching(
                r"constant|cosine|onecycle|steps:\d+(,\d+)*x\d*\.?\d+",
                "constant, cosine, onecycle or steps:EPOCH,EPOCHxFACTOR",
            ),
        ),
        "constant",
    )
    _option(group, "--loss", "NAME", "a class in losses/ or of a plugin", str, "CrossEntropy")
    _option(group, "--train_scheme", "NAME", "a class in trainers/ or of a plugin", str, "DefaultTrainer")
    _option(group, "--l2_reg", "FACTOR", "weight decay", number(float, 0), 5e-5)
    _option(group, "--l1_reg", "FACTOR", "penalty on the sum of |w|", number(float, 0), 0.0)
    _option(group, "--lp_reg", "FACTOR", "penalty on the sum of |w|^p", number(float, 0), 0.0)
    _option(
        group, "--grad_clip", "NORM", "largest norm of the gradient; 0 switches clipping off", number(float, 0), 10.0
    )
    _option(group, "--grad_noise", "STD", "standard deviation of noise on the gradient", number(float, 0), 0.0)
    _option(group, "--max_training_minutes", "MINUTES", "stop cleanly after so long; 0: never", number(float, 0), 0.0)
    _option(group, "--seed", "N", "", number(int, 0, 2**32 - 1), 333)
    _stands_for(group, "--l0", "train_scheme", "L0Trainer")
    _option(group, "--l0_reg", "FACTOR", "penalty on the expected number of weights", number(float, 0), 1.0)
    _option(
        group,
        "--beta_ema",
        "DECAY",
        "moving average of the parameters that L0Trainer tests; 0 switches it off",
        number(float, 0, 1, below=True),
        0.999,
    )
    _stands_for(group, "--hoyer_square", "prune_criterion", "HoyerSquare")
    _stands_for(group, "--group_hoyer_square", "prune_criterion", "GroupHoyerSquare")
    _option(group, "--hoyer_reg", "FACTOR", "penalty of DeepHoyer's losses", number(float, 0), 1.0)


def _testing(group: Group) -> None:
    _switch(group, "--eval", "test a checkpoint instead of training; its network and data set need not be named")
    _option(group, "--test_scheme", "NAME", "a class in testers/ or of a plugin", str, "DefaultTester")
    _switch(
        group,
        "--force_train",
        "train anew what Sparsification or Merging tests, even if a run of the same settings is there",
    )
    _switch(
        group, "--latency", "measure the latency, which runs do that have removed channels, beside the dense network's"
    )
    _option(
        group,
        "--attack",
        "NAMES",
        "attack the network, with --eval: all, or attacks of foolbox by name, as in FGSM,LinfPGD,L2DeepFool",
        text,
    )
    _option(
        group,
        "--attack_epsilons",
        "E,E,...",
        "distances within which an image counts as attacked, of pixels in [0, 1], as in 0.1,8/255 (default: six that "
        "double, of Linf from 2/255, of L2 from 1/8, of L1 and L0 from 1)",
        numbers(_fraction, 0),
    )
    _option(
        group,
        "--attack_samples",
        "N",
        "attack the first N test images of a shuffled order that is always the same",
        number(int, 1),
        200,
    )
    _option(
        group,
        "--attack_norm",
        "NORM",
        "L0, L1, L2 or Linf, for attacks whose name does not say, as DeepFool (default: what each is known for)",
        one_of("L0", "L1", "L2", "Linf"),
    )


def _results(group: Group) -> None:
    _option(
        group,
        "--checkpoint_name",
        "RUN",
        "start from a checkpoint of this run folder: a name, a path, or latest; with --eval a,b,c compares several",
        text,
    )
    _option(
        group,
        "--checkpoint_model",
        "NAME",
        "which checkpoint of it (default: <Model>_finished); or the path of a file of weights of another project, "
        ".pth, .pt, .pth.tar or .safetensors, for the network of --model",
        text,
    )
    _switch(group, "--partial_checkpoint", "of such a file load what fits, and leave the rest at its initialisation")
    _option(group, "--run_name --expid", "TEXT", "added to the run folder's name", text, "")
    _option(group, "--results_dir", "PATH", "where run folders are made (default: gitignored/results)", Path)
    _option(group, "--eval_freq", "EPOCHS", "test so often; 0: only at the end", number(int, 0), 1)
    _option(
        group,
        "--save_freq",
        "EPOCHS",
        "keep a checkpoint so often; 0: only before pruning and at the end",
        number(int, 0),
        0,
    )
    _option(
        group,
        "--export",
        "FORMATS",
        "write the finished network as onnx (needs the packages onnx and onnxscript), torch_export or both: A,B",
        several_of("onnx", "torch_export"),
    )
    _option(
        group,
        "--resume",
        "RUN",
        "go on with this interrupted run, under its own arguments: a run folder's name, a path, or latest",
        text,
    )
    _option(
        group,
        "--save_minutes",
        "MINUTES",
        "write what --resume goes on from so often, after an epoch; 0: after each",
        number(float, 0),
        0.5,
    )


def disable_plugin(group: argparse.ArgumentParser | Group) -> None:
    """Add the flag that is read before all others, since it says what is imported to read them."""
    _option(group, "--disable_plugin", "NAMES", "leave these installed plugins out, without importing them: A,B", names)


def _machine(group: Group) -> None:
    _option(
        group,
        "--device",
        "NAME",
        "auto, cpu, cuda, cuda:N or mps",
        _matching(r"auto|cpu|mps|cuda(:\d+)?", "auto, cpu, cuda, cuda:N or mps"),
        "auto",
    )
    _option(
        group, "--precision", "TYPE", "float32, bf16 or fp16 by autocast", one_of("float32", "bf16", "fp16"), "float32"
    )
    _switch(group, "--compile", "run the training steps through torch.compile")
    _switch(group, "--channels_last", "lay images out as (N, H, W, C) in memory")
    _switch(group, "--deterministic", "use deterministic operations only (a run on a CPU always does)")
    _switch(group, "--disable_cuda_benchmark", "let cuDNN choose its algorithms without trying them out first")
    disable_plugin(group)


def _pictures(group: Group) -> None:
    _option(group, "--plot_weights_freq", "EPOCHS", "draw the weights so often; 0: only at the end", number(int, 0), 0)
    _switch(
        group, "--track_weights", "statistics of each weight through training: sign flips, moving mean and variance"
    )
    _switch(group, "--disable_histograms", "no weight histograms in TensorBoard")
    _switch(group, "--disable_saliency", "no picture of the scores at each pruning event")
    _switch(group, "--disable_confusion", "no picture of the confusion matrix")
    _switch(group, "--disable_weightplot", "no picture of the weights")
    _switch(group, "--disable_netplot", "no picture of what is left of each layer, and no network graph in TensorBoard")


def _grids(group: Group) -> None:
    _option(group, "--grid", "FILE", "a TOML file of flags, sections of runs and exclusions (see README.md)", Path)
    _option(group, "--pruner_list", "NAME", "the same as --prune_criterion A,B, with spaces or commas", nargs="+")
    _option(group, "--compression_list", "RATIO", "the same as --compression 2,5, with spaces or commas", nargs="+")
    _switch(group, "--dry_run", "show the runs, which of them are done and about how long the rest takes; run nothing")
    _option(
        group,
        "--engine",
        "NAME",
        "what runs them: local (processes of this machine), ray or slurm (packages ray, submitit)",
        one_of("local", "ray", "slurm"),
        "local",
    )
    _option(
        group,
        "--jobs",
        "N",
        "runs at a time; local ones share the cores (default: 1, of ray and slurm as many as the cluster takes)",
        number(int, 1, 10_000),
    )
    _option(group, "--cpus_per_run", "N", "cores of each run, with ray and slurm (default: 1)", number(int, 1, 10_000))
    _option(group, "--gpus_per_run", "N", "GPUs of each run, with ray and slurm (default: 0)", number(int, 0, 1000))
    _option(group, "--ray_address", "HOST:PORT", "a ray cluster, or auto (default: one on this machine, for the grid)")
    _option(group, "--slurm_partition", "NAME", "Slurm's partition (default: the cluster's)", text)
    _option(group, "--slurm_minutes", "N", "Slurm ends a run that takes longer (default: a day)", number(int, 1, 10**6))
    _switch(group, "--slurm_local", "what --engine slurm does, as processes of this machine: to try it without Slurm")


def _questions(group: Group) -> None:
    group.add_argument(
        "--list",
        nargs="?",
        const="all",
        metavar="KIND",
        help="show the components: all, or criterions, models, data_sets, ...",
    )
    _option(
        group,
        "--report",
        "FOLDER",
        "compare runs that are there: write one page of tables and figures over these run folders, or folders of them",
        Path,
        nargs="+",
    )
    _switch(group, "--version", "show the version")
    group.add_argument(
        "-h", "--help", action="store_true", help="show this, with the options of the components that are named"
    )
