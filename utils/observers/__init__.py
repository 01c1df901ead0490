"""The project's own outputs, each a plugin of the hooks in utils/hooks.py."""

import argparse

from utils.observers.console import Console
from utils.observers.pictures import Pictures
from utils.observers.records import Records
from utils.observers.tensorboard import TensorBoard
from utils.observers.weight_tracker import WeightTracker


def project_observers(arguments: argparse.Namespace) -> list[object]:
    """Return the observers of a run. The last one is called first: records are written before anything is drawn."""
    observers = [Console(), Pictures(), TensorBoard(), Records()]
    return [*observers, WeightTracker()] if arguments.track_weights else observers
