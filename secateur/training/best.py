"""`--keep_best`: the network of the best epoch instead of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from secateur.measuring.evaluation import Evaluation, evaluate
from secateur.utils.stateful import Stateful, load_own

if TYPE_CHECKING:
    from secateur.trainers.DefaultTrainer import DefaultTrainer


class BestNetwork(Stateful):
    """Keeps the network of the epoch with the best validation accuracy, of equal ones the first.

    Epochs before the last pruning step do not count: their networks have more weights than were asked for.
    """

    state_attrs = ("epoch", "accuracy", "loss", "network")

    def __init__(self, trainer: DefaultTrainer) -> None:
        self.trainer = trainer
        #: The best epoch, counted from 1; None as long as none was judged.
        self.epoch: int | None = None
        self.accuracy = self.loss = 0.0
        self.network: dict[str, Tensor] = {}
        #: Of the last epoch.
        self.validation: Evaluation | None = None

    def epoch_finished(self) -> None:
        """Evaluate the network on the validation set, and keep a copy of it where no epoch was better."""
        trainer = self.trainer
        self.validation = trainer.evaluation if trainer.data.validation is trainer.data.held_out else None
        if self.validation is None:
            self.validation = self._validate()
        is_better = self.epoch is None or self.validation.accuracy > self.accuracy
        if trainer.pruner.finished and is_better:
            self.epoch, self.accuracy, self.loss = trainer.epoch, self.validation.accuracy, self.validation.loss
            self.network = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}

    def restore(self) -> None:
        """Give the trainer's network its best state back."""
        if self.epoch is None:
            self.trainer.run.notify("--keep_best: no epoch followed the last pruning step, so the last network is kept")
        elif self.epoch != self.trainer.epoch:
            load_own(self.trainer.network, self.network)
            self.trainer.evaluation = None

    def figures(self) -> dict[str, object]:
        """Return loss and accuracy on the validation set: of the last epoch, for metrics.csv."""
        return {"validation_loss": self.validation.loss, "validation_accuracy": self.validation.accuracy}

    def results(self) -> dict[str, object]:
        """Return which epoch was the best, with its loss and accuracy on the validation set."""
        found = {"validation_loss": self.loss, "validation_accuracy": self.accuracy} if self.epoch else {}
        return {"best_epoch": self.epoch, **found}

    def _validate(self) -> Evaluation:
        trainer = self.trainer
        batches, classes = trainer.data.validation.shared(), trainer.data.num_classes
        return evaluate(trainer.network, trainer.loss, batches, classes, trainer.run.precision.autocast)
