"""What each weight does through training (`--track_weights`)."""

import csv
import io
from typing import Any

import torch
from torch import Tensor

from secateur.config.option import Configurable, option
from secateur.hooks import hookimpl
from secateur.pruning.plan import PruningStep
from secateur.runs.checkpoint import write_tensor_file
from secateur.runs.files import write_atomically
from secateur.runs.run import Run

#: How much of the moving mean and variance stays at each step.
DECAY = 0.99


class WeightTracker(Configurable):
    """Counts each weight's changes of sign, and follows its moving mean and variance, after every step.

    At the end: output/weight_statistics.safetensors, with `flips/`, `mean/` and `variance/<layer>`, and a summary by
    layer in weight_statistics.csv.
    """

    title = "pictures and statistics"

    track_weights: bool = option(
        False,
        "record statistics of each weight during training: sign flips, moving mean and variance",
        changes_numbers=False,
        only_training=True,
    )

    @hookimpl
    def run_started(self, run: Run) -> None:
        """Take the weights as they are for the first mean."""
        self.names = list(run.masks.weights)
        self.parameters = list(run.masks.weights.values())
        weights = self._weights()
        self.mean = [weight.clone() for weight in weights]
        self.variance = [torch.zeros_like(weight) for weight in weights]
        self.flips = [torch.zeros_like(weight) for weight in weights]
        self.signs = list(torch._foreach_sign(weights))

    @hookimpl
    def on_save_state(self, state: dict[str, Any]) -> None:
        """Keep all statistics."""
        state["WeightTracker"] = {name: getattr(self, name) for name in ("mean", "variance", "flips", "signs")}

    @hookimpl
    def run_resumed(self, state: dict[str, Any]) -> None:
        """Take them up again."""
        vars(self).update(state["WeightTracker"])

    def _weights(self) -> list[Tensor]:
        """The weights as they are now; where channels were removed, they have other data than before."""
        return [parameter.detach() for parameter in self.parameters]

    @hookimpl
    def pruned(self, step: PruningStep) -> None:
        """Follow weights that have lost channels."""
        for number, name in enumerate(self.names):
            if (places := step.kept_indices.get(f"{name}.weight")) is not None:
                for statistics in (self.mean, self.variance, self.flips, self.signs):
                    statistics[number] = statistics[number].flatten()[places]

    @hookimpl
    def batch_finished(self) -> None:
        """Update all statistics; nothing here waits for the device."""
        weights = self._weights()
        signs = list(torch._foreach_sign(weights))
        # The product of two signs is -1 for a flip; a weight at zero has none.
        products = torch._foreach_mul(signs, self.signs)
        torch._foreach_clamp_max_(products, 0)
        torch._foreach_sub_(self.flips, products)
        self.signs = signs
        difference = torch._foreach_sub(weights, self.mean)
        torch._foreach_add_(self.mean, difference, alpha=1 - DECAY)
        torch._foreach_mul_(self.variance, DECAY)
        torch._foreach_addcmul_(self.variance, difference, difference, value=DECAY * (1 - DECAY))

    @hookimpl
    def run_finished(self, run: Run) -> None:
        """Write both files."""
        kinds = {"flips": self.flips, "mean": self.mean, "variance": self.variance}
        tensors = {
            f"{kind}/{name}": tensor
            for kind, values in kinds.items()
            for name, tensor in zip(self.names, values, strict=True)
        }
        write_tensor_file(run.folder.output / "weight_statistics.safetensors", tensors)
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(
            ["layer", "weights", "flips_per_weight", "share_that_flipped", "mean_of_mean", "mean_of_variance"]
        )
        for name, flips, mean, variance in zip(self.names, self.flips, self.mean, self.variance, strict=True):
            shares = [flips.mean(), (flips > 0).float().mean(), mean.mean(), variance.mean()]
            table.writerow([name, flips.numel(), *(float(share) for share in shares)])
        write_atomically(run.folder.output / "weight_statistics.csv", text.getvalue())
