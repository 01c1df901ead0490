"""A run and its parts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pluggy
import torch
from torch import Tensor, nn

from secateur.channels.surgery import Removal
from secateur.config.registry import Registry
from secateur.config.settings import Settings
from secateur.data.prepare import Data
from secateur.measuring.flops import Flops
from secateur.measuring.sparsity import Sparsity, measure_sparsity
from secateur.parallel.collectives import rank
from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Masks
from secateur.pruning.plan import Plan
from secateur.pruning.pruner import Pruner
from secateur.runs.checkpoint import save_checkpoint
from secateur.runs.failures import disk_reason
from secateur.runs.folder import RunFolder
from secateur.runs.options import CheckpointOptions, MachineOptions, RunOptions
from secateur.training.loss import Loss
from secateur.training.precision import Precision


@dataclass
class Run:
    """Everything a trainer, a tester or an observer works with."""

    settings: Settings
    options: RunOptions
    machine: MachineOptions
    checkpointing: CheckpointOptions
    #: Finds components by name.
    registry: Registry
    #: Calls the observers: `run.hooks.epoch_finished(run=run, figures=...)`.
    hooks: pluggy.HookRelay
    #: Writes to log.txt and to the terminal.
    log: logging.Logger
    folder: RunFolder
    device: torch.device
    data: Data
    network: nn.Module
    #: Criterion, masks and planned steps; of a finished network its masks alone.
    pruner: Pruner
    loss: Loss
    precision: Precision
    #: Operations of the dense network.
    flops: Flops
    #: One image (1, C, H, W) on the device, for tracing.
    example: Tensor
    #: Builds the network anew, on the CPU, its weights drawn from the seed that is given.
    fresh_network: Callable[[int], nn.Module]
    #: What it takes to build the network again, and to test it as it was trained: model, input_shape, num_classes,
    #: options, data_set, data_dir, data_options, prune_criterion, loss, seed, disable_autoconfig, layers_left_out.
    model_spec: dict[str, Any]
    #: The network before anything was pruned.
    dense: Sparsity
    #: In an evaluation: each network that is compared, as a run of its own, by a short name; this one is the first.
    compared: dict[str, Run] = field(default_factory=dict, repr=False)
    #: What made a tester stop early, Ctrl-C or a request to end: raised again once its results are written.
    interruption: BaseException | None = None
    #: Told to the user at the start and kept in results.json.
    notices: list[str] = field(default_factory=list)
    #: What an interrupted run goes on from; see `DefaultTrainer.state_dict`.
    resumed: dict[str, Any] | None = field(default=None, repr=False)
    #: Checkpoints that could not be written, by name.
    unsaved: set[str] = field(default_factory=set)

    @cached_property
    def executed(self) -> nn.Module:
        """The network as `--execution` says, which computes the same: what trains and tests it calls this one."""
        if self.machine.execution == "dense":
            return self.network
        from secateur.sparse.accelerate import Accelerated  # here, as it takes a second to import

        trains = not self.checkpointing.eval
        return Accelerated(
            self.network,
            self.machine.execution,
            training=trains,
            masks=self.masks if trains else None,
            dense_gradients=self.criterion.needs_dense_gradients,
        )

    @property
    def masks(self) -> Masks:
        """Which weights are kept."""
        return self.pruner.masks

    @property
    def criterion(self) -> Criterion:
        """What decides which are."""
        return self.pruner.criterion

    @property
    def plan(self) -> Plan:
        """When the criterion prunes to which sparsity."""
        return self.pruner.plan

    @property
    def removed(self) -> list[list[Removal]]:
        """The channels that were removed, step by step, which repeats it on a fresh network."""
        return self.pruner.removed

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and is observed: of several that train together the first alone."""
        return rank() == 0

    @property
    def model_name(self) -> str:
        """The network's name as part of a file's name."""
        return self.model_spec["model"].replace(":", "_")

    def sparsity(self) -> Sparsity:
        """Count what is left of the network; waits for the device once."""
        return measure_sparsity(self.network, self.dense)

    def save(self, name: str, **metadata: Any) -> None:
        """Write the checkpoint `name`, with `metadata` such as the epoch in its json.

        Where that cannot be written, the run goes on, and `unsaved` holds the name until it can.
        """
        if not self.is_main_process:
            return
        self.unsaved.add(name)
        with self.report_write_errors():
            self.save_to(self.folder.models / name, **metadata)
            self.unsaved.discard(name)

    def save_to(self, path: Path, **metadata: Any) -> None:
        """Write the checkpoint `path`.safetensors and `path`.json; raises `OSError` where that cannot be written."""
        save_checkpoint(path, self.network, self.masks, {**self.model_spec, "cuts": self.removed, **metadata})

    @contextlib.contextmanager
    def report_write_errors(self) -> Iterator[None]:
        """Tell of a file that cannot be written rather than raise."""
        try:
            yield
        except BrokenPipeError:
            raise  # of the terminal
        except OSError as error:
            self.on_write_error(error)

    def notify(self, notice: str) -> None:
        """Tell the user something, once, and keep it in results.json."""
        if notice not in self.notices:
            self.notices.append(notice)
            self.log.warning(notice)

    def on_write_error(self, error: OSError) -> None:
        """Tell the user, once for each reason, that files cannot be written; what is in memory is as good as it was."""
        self.notify(f"{self.folder.path} cannot be written; the run continues and tries again: {disk_reason(error)}")
