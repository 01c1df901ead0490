"""From the arguments to the finished run: builds the parts, hands over to the trainer or the tester, concludes."""

from __future__ import annotations

import argparse
import logging
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import torch

from utils.arguments import NAMED_BY
from utils.data.prepare import prepare_data
from utils.errors import UserError
from utils.hooks import plugin_versions
from utils.measure.flops import count_flops
from utils.observers import project_observers
from utils.pruning.layers import outer_layers
from utils.pruning.masks import Masks
from utils.registry import Registry
from utils.run.checkpoint import Checkpoint, find_checkpoint
from utils.run.folder import RunFolder
from utils.run.networks import build_network, network_options
from utils.run.run import Run
from utils.training.precision import Precision, choose_device


def execute(
    arguments: argparse.Namespace, registry: Registry, hooks: pluggy.PluginManager, root: Path, argv: list[str]
) -> int:
    """Train or test as the arguments say; returns the exit status 0.

    Raises `UserError` before anything is written where the parts do not fit together.
    """
    arguments.data_dir = (arguments.data_dir or root / "gitignored" / "data").absolute()
    arguments.results_dir = (arguments.results_dir or root / "gitignored" / "results").absolute()
    checkpoint = None
    if arguments.checkpoint_name:
        checkpoint = find_checkpoint(arguments.results_dir, arguments.checkpoint_name, arguments.checkpoint_model)
        _take_over(arguments, checkpoint)
    run = _assemble(arguments, registry, hooks, checkpoint)
    kind, flag = ("testers", "test_scheme") if arguments.eval else ("trainers", "train_scheme")
    scheme = registry.find(kind, getattr(arguments, flag)).load()(run)
    run.folder = RunFolder(arguments.results_dir, arguments.run_name)
    try:
        run.folder.describe(root, argv, arguments, run.device, plugin_versions(hooks))
        to_file = logging.FileHandler(run.folder.output / "log.txt", encoding="utf-8")
    except OSError as error:
        run.folder.remove()
        raise UserError(f"--results_dir {arguments.results_dir}: {error.strerror or error}") from error
    to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    run.log.addHandler(to_file)
    for observer in project_observers(arguments):
        hooks.register(observer)
    try:
        run.hooks.run_started(run=run)
        for notice in run.notices:
            run.log.warning(notice)
        results = scheme.evaluate() if arguments.eval else scheme.train()
        run.hooks.run_finished(run=run, results={**results, "notices": run.notices})
    except BaseException as error:
        reason = f"ended by {type(error).__name__}: {error}"
        to_file.handle(logging.makeLogRecord({"msg": reason}))
        run.hooks.run_failed(run=run, error=error)
        raise
    finally:
        to_file.close()
    return 0


def _take_over(arguments: argparse.Namespace, checkpoint: Checkpoint) -> None:
    """Let the checkpoint say which network and which data, where the command line did not."""
    facts = checkpoint.facts
    for flag in ("model", "data_set"):
        if flag not in arguments.explicit:
            setattr(arguments, flag, facts[flag])
    if not arguments.input_dim:
        arguments.input_dim = list(facts["input_shape"])


def _assemble(
    arguments: argparse.Namespace, registry: Registry, hooks: pluggy.PluginManager, checkpoint: Checkpoint | None
) -> Run:
    device = _prepare_torch(arguments)
    found = {flag: registry.find(kind, getattr(arguments, flag)) for flag, kind in NAMED_BY.items()}
    classes = {flag: component.load() for flag, component in found.items()}
    names = {flag: component.name for flag, component in found.items()}
    data = prepare_data(classes["data_set"](), arguments, arguments.data_dir, device)

    options = network_options(classes["model"], arguments)
    if checkpoint:
        options = checkpoint.facts["options"] | options
        _check_same_network(checkpoint, names["model"], data.num_classes, options)
    # What is built must not depend on what was drawn while the data was loaded.
    torch.manual_seed(arguments.seed)
    network = build_network(classes["model"], names["model"], data.input_shape, data.num_classes, options).to(device)
    masks = Masks(network, hold=not arguments.disable_masking)
    if checkpoint:
        checkpoint.restore(network, masks)
    if arguments.channels_last:
        network = network.to(memory_format=torch.channels_last)
    example = torch.zeros(1, *data.input_shape, device=device)
    outer = set() if arguments.outer_layer_pruning else outer_layers(network, example)
    competing = [name for name in masks.weights if name not in outer]
    loss = classes["loss"](masks.weights, arguments)
    precision = Precision(arguments.precision, device)
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
        criterion=classes["prune_criterion"](network, masks, loss, competing, arguments),
        precision=precision,
        flops=count_flops(network, example),
        example=example,
        identity={
            "model": names["model"],
            "input_shape": data.input_shape,
            "num_classes": data.num_classes,
            "options": options,
            "data_set": names["data_set"],
        },
    )
    run.notices = _notices(run)
    return run


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
    return choose_device(arguments.device)


def _check_same_network(checkpoint: Checkpoint, model: str, num_classes: int, options: dict[str, Any]) -> None:
    facts = checkpoint.facts
    for what, given in (("model", model), ("num_classes", num_classes), ("options", options)):
        if facts[what] != given:
            raise UserError(
                f"the checkpoint {checkpoint.path.name} is of another network: its {what} is {facts[what]}, not {given}"
            )


def _notices(run: Run) -> list[str]:
    """What the user should know before the run: flags without effect, slow choices."""
    flags, criterion = run.arguments, run.criterion
    notices = [
        f"--{flag} has no effect with {type(criterion).__name__}"
        for flag in ("snip_steps", "prune_delay", "prune_freq", "pruning_rate")
        if flag in flags.explicit and flag not in criterion.reads
    ]
    if warning := run.precision.warning():
        notices.append(warning)
    return notices
