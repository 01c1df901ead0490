"""Channels removed from a copy of a run's network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from torch import nn

from secateur.config.option import options_of
from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.masks import Masks
from secateur.pruning.plan import PruningStep
from secateur.pruning.structured import StructuredCriterion

if TYPE_CHECKING:
    from secateur.runs.run import Run


def removed(
    run: Run, criterion: type[StructuredCriterion], ratio: float, compensation: str
) -> tuple[nn.Module, PruningStep]:
    """Return a copy of the run's network without the fraction `ratio` of its channels, and what was done to it.

    The criterion chooses them; `compensation` is what `--compensate` names. The run's own criterion must be one of
    channels, and have traced the network.
    """
    network = copy.deepcopy(run.network)
    masks = Masks(network)
    masks.set(run.masks.kept)
    known, settings = options_of(criterion), run.settings
    # What was not given is as this criterion has it, and not as the run's own does.
    options = {name: settings[one.flag] for name, one in known.items() if one.flag in settings.given}
    options["compensate"] = compensation
    chooser = criterion(network, masks, run.loss, list(run.criterion.weights), **options)
    chooser.example, chooser.dense_outputs, chooser.groups = run.example, layer_outputs(network), run.criterion.groups
    chooser.ignored = run.criterion.ignored
    chooser.seed, chooser.rewinds = run.criterion.seed, run.criterion.rewinds
    batches = chooser.scoring_batches(run.data.train.epoch(0))
    return network, chooser.prune(ratio, batches)
