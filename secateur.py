"""What authors of components and plugins import: the hook marker, the base classes and what they are made of.

    from secateur import Criterion, hookimpl

Importing this module imports no torch; a base class brings it in when it is first asked for.
"""

import importlib
from typing import Any

from utils.errors import UserError
from utils.hooks import hookimpl
from utils.ranges import number

__version__ = "0.1.0"

#: Where each name lives.
HOMES = {
    "Criterion": "utils.pruning.criterion",
    "DataSet": "utils.data.data_set",
    "DefaultTester": "testers.DefaultTester",
    "DefaultTrainer": "trainers.DefaultTrainer",
    "Evaluation": "utils.measure.evaluation",
    "HorizontalFlip": "utils.data.augmentation",
    "Images": "utils.data.data_set",
    "Loss": "utils.training.loss",
    "PruningEvent": "utils.pruning.criterion",
    "RandomCrop": "utils.data.augmentation",
    "Run": "utils.run.run",
    "RunningMeans": "utils.training.means",
    "StructuredCriterion": "utils.pruning.structured",
    "evaluation_mode": "utils.modes",
    "filter_scores": "utils.pruning.filters",
    "gate_gradients": "utils.pruning.gates",
    "keep_largest": "utils.pruning.selection",
    "mean_gradients": "utils.pruning.saliency",
    "random_scores": "utils.pruning.scores",
}

__all__ = ["UserError", "hookimpl", "number", *HOMES]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module 'secateur' has no attribute '{name}'")
