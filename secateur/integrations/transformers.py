"""Pruning in the trainer of Hugging Face's transformers."""

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
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise UserError(
        "secateur.integrations.transformers needs the package transformers: pip install transformers"
    ) from error


class PruningCallback(TrainerCallback):
    """Prunes an image classifier while transformers' Trainer trains it.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[PruningCallback("Magnitude", sparsity=0.9)])

    The pruner is made when training begins, from the trainer's data, optimizer and epochs; masks hold from then on.
    The model takes `pixel_values` (N, C, H, W), and its output has `logits`. Layers are named as in the model, with
    `model.` before. Parameters are those of `secateur.Pruner`.
    """

    def __init__(
        self,
        criterion: str | type[Criterion],
        *,
        sparsity: float | None = None,
        batches: Iterable[Batch] | None = None,
        loss: LossFunction = functional.cross_entropy,
        example: Tensor | None = None,
        **options: Any,
    ) -> None:
        self.criterion, self.sparsity, self.batches = criterion, sparsity, batches
        self.loss, self.example, self.options = loss, example, options
        #: The pruner, from when training has begun.
        self.pruner: Pruner | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **objects: Any
    ) -> None:
        """Make the pruner; what is planned before training is pruned now."""
        model, loader = objects["model"], objects["train_dataloader"]
        epochs = int(state.num_train_epochs)
        self.pruner = Pruner(
            _Logits(model),
            self.criterion,
            sparsity=self.sparsity,
            batches=self.batches if self.batches is not None else _Pairs(loader, model),
            loss=self.loss,
            example=self.example,
            epochs=epochs,
            steps_per_epoch=max(state.max_steps // max(epochs, 1), 1),
            **self.options,
        )


class _Logits(nn.Module):
    """A model whose output is its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, K)."""
        return self.model(pixel_values=images).logits


class _Pairs:
    """The batches of a loader as (pixel_values, labels) on a model's device."""

    def __init__(self, loader: Iterable[dict[str, Tensor]], model: nn.Module) -> None:
        self.loader, self.model = loader, model

    def __iter__(self) -> Any:
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        for batch in self.loader:
            yield batch["pixel_values"].to(device), batch["labels"].to(device)

    def __len__(self) -> int:
        return len(self.loader)
