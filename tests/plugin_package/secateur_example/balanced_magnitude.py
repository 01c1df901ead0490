"""Magnitude pruning with a say in how layers share the loss."""

from collections.abc import Iterable

from torch import Tensor

from secateur import Criterion, option


class BalancedMagnitude(Criterion):
    """Magnitude relative to the layer's mean magnitude: score(w) = |w| / mean(|W|)^B, B is `--balance`.

    B = 0 is global magnitude pruning, which thins out layers of small weights first; with B = 1 the scale of a layer
    has no say.
    """

    balance: float = option(
        1.0, "0: large weights stay; 1: weights stay that are large for their layer", low=0, high=1, metavar="B"
    )

    def scores(self, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """The formula above; a layer of zeros scores zero. The data is not looked at."""
        sizes = {name: weight.abs() for name, weight in self.weights.items()}
        return {name: size / size.mean().clamp(min=1e-12) ** self.balance for name, size in sizes.items()}
