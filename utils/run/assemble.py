"""Builds the parts of a run from the arguments, and sees to it that they fit together."""

from __future__ import annotations

import argparse
import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pluggy
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from utils.arguments import NAMED_BY
from utils.data.prepare import Data, prepare_data
from utils.errors import UserError
from utils.measure.flops import Flops, count_flops
from utils.measure.sparsity import Sparsity, layer_outputs, measure_sparsity
from utils.parallel.collectives import first_of_each_machine_first, size
from utils.pruning.layers import outer_layers
from utils.pruning.masks import Masks
from utils.pruning.moments import Plan, Timing
from utils.pruning.surgery import Cut
from utils.registry import Registry
from utils.run.checkpoint import replay_cuts, restore_checkpoint
from utils.run.checkpoint_facts import Checkpoint, labels
from utils.run.foreign import load_foreign
from utils.run.networks import build_network, network_options
from utils.run.run import Run
from utils.training.cpu import tune_cpu
from utils.training.precision import Precision, choose_device

#: Flags that only some criteria, losses and trainers read.
READ_BY_SOME = (
    "snip_steps",
    "prune_delay",
    "prune_freq",
    "pruning_limit",
    "compression",
    "outer_layer_pruning",
    "pruning_rate",
    "growing_rate",
    "hoyer_reg",
    "l0_reg",
    "beta_ema",
)
#: Flags of every criterion that have no say where nothing is pruned.
IDLE_WITHOUT_PRUNING = (
    "saliency_batches",
    "prune_schedule",
    "distribution",
    "shuffle_masks",
    "invert_scores",
    "reinitialise",
    "enable_rewinding",
)
#: Flags that have no say in how a finished network is tested, beside those of pruning and training.
ONLY_IN_TRAINING = (
    "compile",
    "disable_saliency",
    "eval_freq",
    "plot_weights_freq",
    "random_shuffle_labels",
    "save_freq",
    "track_weights",
)


def assemble(arguments: argparse.Namespace, registry: Registry, hooks: pluggy.PluginManager) -> Run:
    """Find the classes that the arguments name and build a run of them, all but its folder.

    Raises `UserError` where something is missing or does not fit.
    """
    checkpoint = arguments.checkpoint
    device = _prepare_torch(arguments)
    found = {flag: registry.find(kind, getattr(arguments, flag)) for flag, kind in NAMED_BY.items()}
    classes = {flag: component.load() for flag, component in found.items()}
    names = {flag: component.name for flag, component in found.items()}
    with first_of_each_machine_first():
        data = prepare_data(classes["data_set"](), arguments, arguments.data_dir, device)
    if (fewest := min(data.train.sizes)) < size():
        raise UserError(
            f"--batch_size {data.train.batch_size}: a batch has {fewest} images, too few for {size()} processes; take "
            "another batch size, or fewer processes"
        )
    arguments.batch_size = data.train.batch_size  # what the data set suggests is recorded too

    options = network_options(classes["model"], arguments)
    if checkpoint:
        typed = {name: value for name, value in options.items() if name in arguments.explicit}
        options = options | checkpoint.facts["options"] | typed
        _check_same_network(checkpoint, names["model"], data.num_classes, options)
    # What is drawn from now on must not depend on what was drawn while the data was loaded.
    torch.manual_seed(arguments.seed)
    example = torch.zeros(1, *data.input_shape, device=device)
    built = _build(classes["model"], names["model"], options, data, arguments, checkpoint, example)
    network, masks = built.network, built.masks
    foreign, loaded = arguments.foreign_weights, []
    if foreign:
        loaded = load_foreign(foreign, network, partial=arguments.partial_checkpoint)
    single = 1 in (data.train.batch_size, len(data.train.images))
    if single and not arguments.eval and any(isinstance(module, _BatchNorm) for module in network.modules()):
        raise UserError(
            f"--batch_size 1: the batch normalisation of {names['model']} needs at least 2 images to train on"
        )
    outer = set() if arguments.outer_layer_pruning else outer_layers(network, example)
    competing = [name for name, weight in masks.weights.items() if name not in outer and weight.requires_grad]
    loss = classes["loss"](masks, arguments)
    precision = Precision(arguments.precision, device)
    criterion = classes["prune_criterion"](network, masks, loss, competing, arguments)
    criterion.example, criterion.dense_outputs = example, built.dense_outputs
    batches = len(data.train)
    timing = Timing(arguments.pre_epochs, arguments.epochs, arguments.prune_delay, arguments.prune_freq, batches)
    run = Run(
        arguments=arguments,
        hooks=hooks.hook,
        log=logging.Logger("secateur", logging.INFO),
        folder=None,
        device=device,
        data=data,
        network=network,
        masks=masks,
        loss=loss,
        criterion=criterion,
        plan=Plan(0) if arguments.eval else criterion.plan(timing),
        precision=precision,
        flops=built.flops,
        example=example,
        fresh_network=built.fresh_network,
        dense=built.dense,
        history=built.history,
        identity={
            "model": names["model"],
            "input_shape": data.input_shape,
            "num_classes": data.num_classes,
            "options": options,
            "data_set": names["data_set"],
            "data_dir": str(arguments.data_dir),
            "data_options": arguments.data_options,
            "prune_criterion": names["prune_criterion"],
            "loss": names["loss"],
            "seed": arguments.seed,
            "disable_autoconfig": arguments.disable_autoconfig,
        },
    )
    if checkpoint and (arguments.eval or "prune_criterion" not in arguments.explicit):
        run.identity |= _came_about(checkpoint)
    run.notices = data.notices + loaded + _notices(run, classes["train_scheme"])
    if arguments.eval:
        run.compared = {foreign.name: run} if foreign else _compared(run, registry, classes["loss"])
    return run


@dataclass(frozen=True)
class _Built:
    """A network and what is known of it; the names are those of `Run`."""

    network: nn.Module
    masks: Masks
    flops: Flops
    dense: Sparsity
    dense_outputs: dict[str, int]
    history: list[list[Cut]]
    fresh_network: Callable[[int], nn.Module]


def _build(
    model: Callable[..., nn.Module],
    name: str,
    options: dict[str, Any],
    data: Data,
    arguments: argparse.Namespace,
    checkpoint: Checkpoint | None,
    example: Tensor,
) -> _Built:
    """Build the network of a class, and make it what the checkpoint holds."""

    def fresh_network(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_network(model, name, data.input_shape, data.num_classes, options)

    network = fresh_network(arguments.seed)
    flops = count_flops(network, example.cpu())
    network = network.to(example.device)
    dense, dense_outputs = measure_sparsity(network), layer_outputs(network)
    history = checkpoint.facts.get("cuts", []) if checkpoint else []
    if history:
        replay_cuts(checkpoint, network, example)
    masks = Masks(network, hold=not arguments.disable_masking)
    if checkpoint:
        restore_checkpoint(checkpoint, network, masks)
    if arguments.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return _Built(network, masks, flops, dense, dense_outputs, history, fresh_network)


def _compared(run: Run, registry: Registry, loss: type) -> dict[str, Run]:
    """A run for each checkpoint that `--checkpoint_name` names, by a short name of it; the first is `run` itself.

    Raises `UserError` where one of them was trained on other images or classes.
    """
    arguments, first = run.arguments, run.arguments.checkpoint
    compared = {}
    for label, checkpoint in zip(labels(arguments.checkpoints), arguments.checkpoints, strict=True):
        compared[label] = run
        if checkpoint is first:
            continue
        facts = checkpoint.facts
        for what in ("data_set", "input_shape", "num_classes"):
            if facts[what] != first.facts[what]:
                raise UserError(
                    f"--checkpoint_name compares networks on the same images: the {what} of {label} is {facts[what]}, "
                    f"not {first.facts[what]}"
                )
        component = registry.find("models", facts["model"])
        built = _build(component.load(), component.name, facts["options"], run.data, arguments, checkpoint, run.example)
        parts = {field.name: getattr(built, field.name) for field in fields(built) if field.name != "dense_outputs"}
        identity = {**run.identity, "model": component.name, "options": facts["options"], **_came_about(checkpoint)}
        compared[label] = replace(run, **parts, loss=loss(built.masks, arguments), identity=identity)
    return compared


def _came_about(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says of how its network was pruned; those of the first versions did not."""
    return {name: checkpoint.facts[name] for name in ("prune_criterion",) if name in checkpoint.facts}


def _prepare_torch(arguments: argparse.Namespace) -> torch.device:
    """Seed everything and choose the device."""
    if arguments.deterministic:
        # cuBLAS reads this when it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    random.seed(arguments.seed)
    np.random.seed(arguments.seed)  # noqa: NPY002 - for libraries that use the global generator
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = not (arguments.disable_cuda_benchmark or arguments.deterministic)
    device = choose_device(arguments.device)
    if device.type == "cpu":
        tune_cpu()
    return device


def _check_same_network(checkpoint: Checkpoint, model: str, num_classes: int, options: dict[str, Any]) -> None:
    facts = checkpoint.facts
    for what, given in (("model", model), ("num_classes", num_classes), ("options", options)):
        if facts[what] != given:
            raise UserError(
                f"the checkpoint {checkpoint.path.name} is of another network: its {what} is {facts[what]}, not {given}"
            )


def _only_trains(flag: str, flags: argparse.Namespace) -> bool:
    """Whether a flag has no say in how a finished network is tested."""
    if flag == "N":
        return not flags.tuning  # else it has a say in the images that are held out
    if flag in ONLY_IN_TRAINING:
        return True
    return flags.general.get(flag) in ("pruning", "training") and flag not in ("batch_size", "loss", "seed")


def _notices(run: Run, trainer: type) -> list[str]:
    """What the user should know before the run: flags without effect, slow choices."""
    flags, criterion = run.arguments, run.criterion
    parts = [kind.__name__ for kind in (type(criterion), type(run.loss), trainer)]
    notices = [
        f"--{flag} has no effect with {', '.join(parts)}"
        for flag in READ_BY_SOME
        if flag in flags.explicit and not flags.eval
        if not (criterion.reads_flag(flag) or flag in (*run.loss.reads, *trainer.reads))
    ]
    if not (flags.enable_rewinding or criterion.in_levels):
        idle = [f"--{flag}" for flag in ("rewind_to", "rewind_weights_only") if flag in flags.explicit]
        notices += [f"{flag} has no effect without --enable_rewinding" for flag in idle]
    if not flags.eval and not run.plan.events:
        idle = ["pruning_limit", "compression", "outer_layer_pruning", *IDLE_WITHOUT_PRUNING]
        if not flags.checkpoint:  # which may bring masks
            idle.append("disable_masking")
        notices += [
            f"--{flag} has no effect with {type(criterion).__name__}: name a criterion with --prune_criterion"
            for flag in idle
            if flag in flags.explicit and getattr(flags, flag) and flag not in trainer.reads
        ]
    if flags.eval and (idle := [f"--{flag}" for flag in sorted(flags.explicit) if _only_trains(flag, flags)]):
        notices.append(f"without effect with --eval, which trains and prunes nothing: {', '.join(idle)}")
    if "lp_power" in flags.explicit and not flags.lp_reg:
        notices.append("--lp_power has no effect without --lp_reg")
    if warning := run.precision.warning():
        notices.append(warning)
    return notices
