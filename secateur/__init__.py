"""Secateur, a laboratory for pruning neural networks.

    from secateur import Criterion, hookimpl

Importing this module imports no torch; what needs it brings it in when it is first asked for.

Everything is imported as `secateur.…`. The folders of components (`criterions/`, `models/`, ...) and `utils/` stand at
the top of the repository. An installation has them inside this package (see `package-dir` in pyproject.toml). In a
checkout they are beside it, so the repository's root is one more place where sub-packages of `secateur` are looked for.
"""

import importlib
from typing import Any

from secateur.config.places import CHECKOUT

if CHECKOUT is not None:
    __path__.append(str(CHECKOUT))

from secateur.config.option import Section, option
from secateur.utils.errors import UserError

__version__ = "0.2.0"

#: Where each name lives.
HOMES = {
    "Criterion": "secateur.pruning.criterion",
    "DataSet": "secateur.data.data_set",
    "DefaultTester": "secateur.testers.DefaultTester",
    "DefaultTrainer": "secateur.trainers.DefaultTrainer",
    "Evaluation": "secateur.measuring.evaluation",
    "HorizontalFlip": "secateur.data.augmentation",
    "Images": "secateur.data.data_set",
    "LayerwiseCriterion": "secateur.pruning.layerwise",
    "Loss": "secateur.training.loss",
    "PruningStep": "secateur.pruning.criterion",
    "RandomCrop": "secateur.data.augmentation",
    "LearningRateSchedule": "secateur.training.lr_schedule",
    "Pruner": "secateur.pruning.pruner",
    "Run": "secateur.runs.run",
    "ScoreMode": "secateur.pruning.saliency",
    "RunningMeans": "secateur.training.means",
    "StructuredCriterion": "secateur.pruning.structured",
    "Table": "secateur.utils.tables",
    "evaluation_mode": "secateur.utils.modes",
    "filter_scores": "secateur.channels.filters",
    "gate_gradients": "secateur.channels.gates",
    "hookimpl": "secateur.hooks",
    "keep_largest": "secateur.pruning.selection",
    "mean_gradients": "secateur.pruning.saliency",
    "mean_over_batches": "secateur.pruning.saliency",
    "random_scores": "secateur.pruning.scores",
    "accelerate": "secateur.sparse.accelerate",
    "attack": "secateur.api.measuring",
    "calibration": "secateur.api.measuring",
    "compact": "secateur.api.pruning",
    "evaluate": "secateur.api.measuring",
    "load": "secateur.api.checkpoints",
    "load_weights": "secateur.api.checkpoints",
    "measure": "secateur.api.measuring",
    "names": "secateur.api.laboratory",
    "prune": "secateur.api.pruning",
    "remove_blocks": "secateur.channels.blocks",
    "repair": "secateur.api.pruning",
    "report": "secateur.api.laboratory",
    "residual_blocks": "secateur.channels.blocks",
    "run": "secateur.api.laboratory",
    "save": "secateur.api.checkpoints",
    "semi_structured": "secateur.sparse.semi_structured",
}

__all__ = ["Section", "UserError", "option", *HOMES]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module 'secateur' has no attribute '{name}'")
