"""Channels removed from a copy of a run's network."""

from __future__ import annotations

import argparse
import copy
import itertools
from typing import TYPE_CHECKING

from torch import nn

from utils.measure.sparsity import layer_outputs
from utils.pruning.criterion import PruningEvent
from utils.pruning.masks import Masks
from utils.pruning.structured import StructuredCriterion

if TYPE_CHECKING:
    from utils.run.run import Run

#: Flags that another compensation would complain of.
OF_MERGING = {"merge_threshold", "merge_lambda", "merge_formula"}


def removed(
    run: Run, criterion: type[StructuredCriterion], ratio: float, compensation: str
) -> tuple[nn.Module, PruningEvent]:
    """Return a copy of the run's network without the share `ratio` of its channels, and what was done to it.

    The criterion chooses them; `compensation` is what `--compensate` names. The run's own criterion must be one of
    channels, and have traced the network.
    """
    network = copy.deepcopy(run.network)
    masks = Masks(network)
    masks.set(run.masks.kept)
    explicit = run.arguments.explicit - (set() if compensation == "merge" else OF_MERGING)
    arguments = argparse.Namespace(**{**vars(run.arguments), "compensate": compensation, "explicit": explicit})
    chooser = criterion(network, masks, run.loss, list(run.criterion.weights), arguments)
    chooser.example, chooser.dense_outputs, chooser.groups = run.example, layer_outputs(network), run.criterion.groups
    batches = itertools.islice(run.data.train.epoch(0), run.arguments.saliency_batches)
    return network, chooser.prune(ratio, batches)
