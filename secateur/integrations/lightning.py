"""Pruning in Lightning's trainer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.pruning.criterion import Criterion
from secateur.pruning.pruner import Pruner
from secateur.pruning.saliency import Batch, LossFunction
from secateur.utils.errors import UserError

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise UserError("secateur.integrations.lightning needs the package lightning: pip install lightning") from error


class PruningCallback(Callback):
    """Prunes a LightningModule while Lightning trains it.

        trainer = Trainer(max_epochs=80, callbacks=[PruningCallback("SNIPitDuring", sparsity=0.98, prune_freq=4)])

    The pruner is made when training begins, from the trainer's own data loader, optimizer and number of epochs; masks
    hold from then on, also with gradient accumulation, clipping and mixed precision. It is part of Lightning's
    checkpoints; where channels were removed Lightning itself cannot load one, whose network is smaller than the module.
    Parameters are those of `secateur.Pruner`; `network` names the module to prune, an attribute of the
    LightningModule as "model", by default all of it; `batches` replaces the trainer's data.
    """

    def __init__(
        self,
        criterion: str | type[Criterion],
        *,
        sparsity: float | None = None,
        network: str = "",
        batches: Iterable[Batch] | None = None,
        loss: LossFunction = functional.cross_entropy,
        example: Tensor | None = None,
        **options: Any,
    ) -> None:
        self.criterion, self.sparsity, self.network, self.batches = criterion, sparsity, network, batches
        self.loss, self.example, self.options = loss, example, options
        #: The pruner, from when training has begun.
        self.pruner: Pruner | None = None
        self._state: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the pruner; what is planned before training is pruned now."""
        if len(trainer.optimizers) != 1:
            raise UserError(f"PruningCallback follows one optimizer, and the module has {len(trainer.optimizers)}")
        batches = self.batches if self.batches is not None else _OnDevice(trainer.train_dataloader, pl_module)
        self.pruner = Pruner(
            pl_module.get_submodule(self.network) if self.network else pl_module,
            self.criterion,
            sparsity=self.sparsity,
            batches=batches,
            loss=self.loss,
            optimizer=trainer.optimizers[0],
            example=self.example,
            epochs=trainer.max_epochs or 0,
            steps_per_epoch=-(-trainer.num_training_batches // trainer.accumulate_grad_batches),
            attach=self._state is None,
            **self.options,
        )
        if self._state is not None:
            self.pruner.load_state_dict(self._state)
            self.pruner.attach()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what came of it."""
        if trainer.logger is not None:
            trainer.logger.log_metrics({"weight_sparsity": self.pruner.sparsity}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return what Lightning keeps in its checkpoint."""
        return {"pruner": self.pruner.state_dict() if self.pruner else None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up when training goes on."""
        self._state = state_dict["pruner"]


class _OnDevice:
    """The batches of a data loader, (inputs, targets) on a module's device."""

    def __init__(self, loader: Iterable[Batch], module: nn.Module) -> None:
        self.loader, self.module = loader, module

    def __iter__(self) -> Any:
        device = next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))
        for inputs, targets in self.loader:
            yield inputs.to(device), targets.to(device)

    def __len__(self) -> int:
        return len(self.loader)
