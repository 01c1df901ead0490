"""Builds the parts of a run from its settings, and sees to it that they fit together."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pluggy
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.channels.surgery import Removal
from secateur.config.registry import Registry
from secateur.config.settings import Settings
from secateur.data.data_set import DataSet
from secateur.data.options import DataOptions
from secateur.data.prepare import Data, prepare_data
from secateur.measuring.flops import Flops, count_flops
from secateur.measuring.sparsity import Sparsity, layer_outputs, measure_sparsity
from secateur.parallel.collectives import first_of_each_machine_first, gathered, size
from secateur.pruning.build import build_criterion, prepare_network, removes_channels
from secateur.pruning.masks import Masks
from secateur.pruning.pruner import Pruner
from secateur.runs.checkpoint import replay_removals, restore_checkpoint
from secateur.runs.checkpoint_metadata import Checkpoint, labels
from secateur.runs.external_weights import load_external
from secateur.runs.networks import build_network, check_size, network_options
from secateur.runs.notices import notices_of
from secateur.runs.options import CheckpointOptions, MachineOptions, RunOptions
from secateur.runs.run import Run
from secateur.training.loss import Loss
from secateur.training.precision import Precision, choose_precision, prepare_torch, spare_memory
from secateur.training.whitening import Whitening
from secateur.utils.errors import UserError


def assemble(settings: Settings, registry: Registry, hooks: pluggy.PluginManager) -> Run:
    """Find the classes that the settings name and build a run of them, all but its folder.

    Raises `UserError` where something is missing or does not fit.
    """
    options, machine = settings.section(RunOptions), settings.section(MachineOptions)
    if machine.compile and machine.execution != "dense":
        raise UserError(f"--compile compiles the dense network: leave it out, or --execution {machine.execution}")
    start, checkpoint = settings.section(CheckpointOptions), settings.checkpoint
    device = prepare_torch(options.seed, machine)
    chosen = []
    if machine.precision == "auto":
        precision, reason = gathered(choose_precision(device, machine.execution))[0]  # one for all processes
        # Recorded as if it had been typed: whatever goes on with the run or tests it computes in the same.
        settings = settings.with_values(precision=precision)
        machine = settings.section(MachineOptions)
        chosen = [f"--precision auto: {precision}, as {reason}"]
    found = {flag: component.load() for flag, component in settings.components.items()}
    names = {flag: component.name for flag, component in settings.components.items()}
    with first_of_each_machine_first():
        data_set = found["data_set"](**settings.options_for(found["data_set"]))
        data = prepare_data(
            data_set,
            settings.section(DataOptions),
            device,
            seed=options.seed,
            smoke=options.smoke,
            validates=settings["keep_best"] and not start.eval,
        )
    _check_processes(data)
    settings = settings.with_values(batch_size=data.train.batch_size)  # what the data set suggests is recorded too

    model_options = network_options(found["model"], settings)
    if checkpoint:
        typed = {name: value for name, value in model_options.items() if name in settings.given}
        model_options = model_options | checkpoint.metadata["options"] | typed
        _check_same_network(checkpoint, names["model"], data.num_classes, model_options)
    # What is drawn from now on must not depend on what was drawn while the data was loaded.
    torch.manual_seed(options.seed)
    example = torch.zeros(1, *data.input_shape, device=device)
    hold = not settings["disable_masking"]
    built = _build(found, names["model"], model_options, data, settings, checkpoint, example, hold)
    if device.type == "cpu":
        spare_memory(built.network)
    if not start.eval:
        _check_batches(data, built.network, names["model"])
    loss = _loss(found["loss"], built.masks, settings)
    pruner = _pruner(found["prune_criterion"], built, loss, data, settings, example)
    run = Run(
        settings=settings,
        options=options,
        machine=machine,
        checkpointing=start,
        registry=registry,
        hooks=hooks.hook,
        log=logging.Logger("secateur", logging.INFO),
        folder=None,
        device=device,
        data=data,
        network=built.network,
        pruner=pruner,
        loss=loss,
        precision=Precision(machine.precision, device),
        flops=built.flops,
        example=example,
        fresh_network=built.fresh_network,
        dense=built.dense,
        model_spec={
            "model": names["model"],
            "input_shape": data.input_shape,
            "num_classes": data.num_classes,
            "options": model_options,
            "data_set": names["data_set"],
            "data_dir": str(settings["data_dir"]),
            "data_options": _data_options(settings),
            "prune_criterion": names["prune_criterion"],
            "loss": names["loss"],
            "seed": options.seed,
            "disable_autoconfig": settings["disable_autoconfig"],
            "layers_left_out": pruner.left_out if pruner.plan.pruning_steps else {},
        },
    )
    if checkpoint and (start.eval or "prune_criterion" not in settings.given):
        run.model_spec |= _came_about(checkpoint)
    run.notices = chosen + data.notices + built.loading_notices + notices_of(run, data_set)
    if start.eval:
        external = settings.external_weights
        run.compared = {external.name: run} if external else _compared(run, registry, found["loss"])
    return run


@dataclass(frozen=True)
class _Built:
    """A network and what is known of it; the names are those of `Run`."""

    network: nn.Module
    masks: Masks
    flops: Flops
    dense: Sparsity
    dense_outputs: dict[str, int]
    removed: list[list[Removal]]
    fresh_network: Callable[[int], nn.Module]
    #: What is told of loading weights into the network, and of changing it.
    loading_notices: list[str]


def _build(
    found: dict[str, Any],
    name: str,
    options: dict[str, Any],
    data: Data,
    settings: Settings,
    checkpoint: Checkpoint | None,
    example: Tensor,
    hold: bool,
) -> _Built:
    """Build the network of a class, and make it what a checkpoint or a file of others holds."""
    model = found["model"]
    whiten = Whitening(data.train) if settings["whitening"] and not settings["eval"] else None

    def fresh_network(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(model, name, data.input_shape, data.num_classes, options)
        if whiten:
            whiten(network)
        return network

    if checkpoint:  # its json can claim any width
        check_size(model, name, data.input_shape, data.num_classes, options)
    network = fresh_network(settings["seed"])
    flops = count_flops(network, example.cpu())
    network = network.to(example.device)
    kind = found["prune_criterion"]
    plain = copy.deepcopy(network) if removes_channels(kind) else network
    prepare_network(kind, plain)  # as the criterion will have it
    dense, dense_outputs = measure_sparsity(plain), layer_outputs(plain)
    del plain
    removed = checkpoint.metadata.get("cuts", []) if checkpoint else []
    if removed:
        replay_removals(checkpoint, network, example)
    kept = restore_checkpoint(checkpoint, network, hold).kept if checkpoint else {}
    notices, partial = [], settings["partial_checkpoint"]
    if settings.external_weights:
        notices += load_external(settings.external_weights, network, partial=partial)
    notices += prepare_network(kind, network)
    masks = Masks(network, hold=hold)
    masks.set(kept)
    if settings["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    return _Built(network, masks, flops, dense, dense_outputs, removed, fresh_network, notices)


def _loss(kind: type[Loss], masks: Masks, settings: Settings) -> Loss:
    return kind(masks, **settings.options_for(kind))


def _pruner(kind: type, built: _Built, loss: Loss, data: Data, settings: Settings, example: Tensor) -> Pruner:
    """Return the pruner of the run; one that tests has nothing planned."""
    criterion = build_criterion(
        kind,
        built.network,
        built.masks,
        loss,
        example,
        settings["outer_layer_pruning"],
        seed=settings["seed"],
        smoke=settings["smoke"],
        options=settings.options_for(kind),
    )
    criterion.dense_outputs = built.dense_outputs
    pruner = Pruner(
        built.network,
        criterion,
        batches=data.train,
        loss=loss,
        epochs=settings["epochs"],
        pre_epochs=settings["pre_epochs"],
        seed=settings["seed"],
        attach=False,
        planned=not settings["eval"],
        execution=settings["execution"],
        precision=settings["precision"],
        fresh_network=built.fresh_network,
        **settings.options_for(Pruner),
    )
    pruner.dense, pruner.removed = built.dense, [list(removals) for removals in built.removed]
    return pruner


def _compared(run: Run, registry: Registry, loss: type[Loss]) -> dict[str, Run]:
    """A run for each checkpoint that `--checkpoint_name` names, by a short name of it; the first is `run` itself.

    Raises `UserError` where one of them was trained on other images or classes.
    """
    settings, first = run.settings, run.settings.checkpoint
    compared = {}
    for label, checkpoint in zip(labels(list(settings.checkpoints)), settings.checkpoints, strict=True):
        compared[label] = run
        if checkpoint is first:
            continue
        metadata = checkpoint.metadata
        for what in ("data_set", "input_shape", "num_classes"):
            if metadata[what] != first.metadata[what]:
                raise UserError(
                    f"--checkpoint_name compares networks on the same images: the {what} of {label} is "
                    f"{metadata[what]}, not {first.metadata[what]}"
                )
        component, options = registry.find("models", metadata["model"]), metadata["options"]
        found = {"model": component.load(), "prune_criterion": type(run.criterion)}
        built = _build(found, component.name, options, run.data, settings, checkpoint, run.example, run.masks.hold)
        own_loss = _loss(loss, built.masks, settings)
        pruner = _pruner(type(run.criterion), built, own_loss, run.data, settings, run.example)
        parts = {field.name: getattr(built, field.name) for field in fields(Run) if hasattr(built, field.name)}
        spec = {**run.model_spec, "model": component.name, "options": options, **_came_about(checkpoint)}
        compared[label] = replace(run, **parts, loss=own_loss, pruner=pruner, model_spec=spec)
    return compared


def _came_about(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says of how its network was pruned; those of the first versions did not."""
    known = checkpoint.metadata
    said = {name: known[name] for name in ("prune_criterion", "layers_left_out") if name in known}
    return {"layers_left_out": {}, **said}


def _data_options(settings: Settings) -> dict[str, Any]:
    """What the options say that the data set's own class declares."""
    declared = settings.components["data_set"].declared()
    return {one.option.flag: settings[one.option.flag] for one in declared if one.owner != DataSet.__name__}


def _check_processes(data: Data) -> None:
    if (fewest := min(data.train.sizes)) < size():
        raise UserError(
            f"--batch_size {data.train.batch_size}: a batch has {fewest} images, too few for {size()} processes; take "
            "another batch size, or fewer processes"
        )


def _check_batches(data: Data, network: nn.Module, name: str) -> None:
    single = 1 in (data.train.batch_size, len(data.train.images))
    if single and any(isinstance(module, _BatchNorm) for module in network.modules()):
        raise UserError(f"--batch_size 1: the batch normalisation of {name} needs at least 2 images to train on")


def _check_same_network(checkpoint: Checkpoint, model: str, num_classes: int, options: dict[str, Any]) -> None:
    metadata = checkpoint.metadata
    for what, given in (("model", model), ("num_classes", num_classes), ("options", options)):
        if metadata[what] != given:
            name = checkpoint.path.name
            raise UserError(f"the checkpoint {name} is of another network: its {what} is {metadata[what]}, not {given}")
