"""A run and its parts."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import torch
from torch import Tensor, nn

from utils.data.prepare import Data
from utils.measure.flops import Flops
from utils.measure.sparsity import Sparsity, measure_sparsity
from utils.parallel.collectives import rank
from utils.pruning.criterion import Criterion
from utils.pruning.masks import Masks
from utils.pruning.moments import Plan
from utils.pruning.surgery import Cut
from utils.run.checkpoint import save_checkpoint
from utils.run.failures import disk_reason
from utils.run.folder import RunFolder
from utils.training.loss import Loss
from utils.training.precision import Precision


@dataclass
class Run:
    """Everything a trainer, a tester or an observer works with."""

    arguments: argparse.Namespace
    #: Calls the observers: `run.hooks.epoch_finished(run=run, figures=...)`.
    hooks: pluggy.HookRelay
    #: Writes to log.txt and to the terminal.
    log: logging.Logger
    folder: RunFolder
    device: torch.device
    data: Data
    network: nn.Module
    masks: Masks
    loss: Loss
    criterion: Criterion
    #: When the criterion prunes to which sparsity.
    plan: Plan
    precision: Precision
    #: Operations of the dense network.
    flops: Flops
    #: One image (1, C, H, W) on the device, for tracing.
    example: Tensor
    #: Builds the network anew, on the CPU, its weights drawn from the seed that is given.
    fresh_network: Callable[[int], nn.Module]
    #: What it takes to build the network again, and to test it as it was trained: model, input_shape, num_classes,
    #: options, data_set, data_dir, data_options, prune_criterion, loss, seed, disable_autoconfig.
    identity: dict[str, Any]
    #: The network before anything was pruned.
    dense: Sparsity
    #: The channels that were removed, event by event, which repeats it on a fresh network.
    history: list[list[Cut]] = field(default_factory=list)
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

    @property
    def writes(self) -> bool:
        """Whether this process writes files and is observed: of several that train together the first alone."""
        return rank() == 0

    @property
    def model_name(self) -> str:
        """The network's name as part of a file's name."""
        return self.identity["model"].replace(":", "_")

    def sparsity(self) -> Sparsity:
        """Count what is left of the network; waits for the device once."""
        return measure_sparsity(self.network, self.dense)

    def save(self, name: str, **facts: Any) -> None:
        """Write the checkpoint `name`, with `facts` such as the epoch in its json.

        Where that cannot be written, the run goes on, and `unsaved` holds the name until it can.
        """
        if not self.writes:
            return
        self.unsaved.add(name)
        with self.telling():
            self.save_to(self.folder.models / name, **facts)
            self.unsaved.discard(name)

    def save_to(self, path: Path, **facts: Any) -> None:
        """Write the checkpoint `path`.safetensors and `path`.json; raises `OSError` where that cannot be written."""
        save_checkpoint(path, self.network, self.masks, {**self.identity, "cuts": self.history, **facts})

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tell of a file that cannot be written rather than raise."""
        try:
            yield
        except BrokenPipeError:
            raise  # of the terminal
        except OSError as error:
            self.cannot_write(error)

    def cannot_write(self, error: OSError) -> None:
        """Tell the user, once for each reason, that files cannot be written; what is in memory is as good as it was."""
        notice = f"{self.folder.path} cannot be written, and the run goes on and tries again: {disk_reason(error)}"
        if notice not in self.notices:
            self.notices.append(notice)
            self.log.warning(notice)
