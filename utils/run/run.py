"""A run and its parts."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pluggy
import torch
from torch import Tensor, nn

from utils.data.prepare import Data
from utils.measure.flops import Flops
from utils.measure.sparsity import Sparsity, measure_sparsity
from utils.pruning.criterion import Criterion
from utils.pruning.masks import Masks
from utils.pruning.moments import Plan
from utils.pruning.surgery import Cut
from utils.run.checkpoint import save_checkpoint
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
    #: options, data_set, prune_criterion, loss, seed, disable_autoconfig.
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

    @property
    def model_name(self) -> str:
        """The network's name as part of a file's name."""
        return self.identity["model"].replace(":", "_")

    def sparsity(self) -> Sparsity:
        """Count what is left of the network; waits for the device once."""
        return measure_sparsity(self.network, self.dense)

    def save(self, name: str, **facts: Any) -> None:
        """Write the checkpoint `name`, with `facts` such as the epoch in its json."""
        save_checkpoint(
            self.folder.models / name, self.network, self.masks, {**self.identity, "cuts": self.history, **facts}
        )
