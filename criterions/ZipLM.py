"""Pruning of channels by optimal brain surgery."""

from collections.abc import Iterable

from torch import Tensor, nn

from secateur.channels.chains import used_once
from secateur.config.option import option
from secateur.pruning.layer_inputs import see_inputs
from secateur.pruning.layers import prunable_layers
from secateur.pruning.layerwise import calibration_images
from secateur.pruning.removal_costs import Reader, removal_costs
from secateur.pruning.saliency import Batch
from secateur.pruning.structured import StructuredCriterion


class ZipLM(StructuredCriterion):
    """Structured optimal brain surgery (Kurtic, Frantar and Alistarh, 2023, "ZipLM", section 3.1, algorithm 1).

    A layer that reads the channels has weights W and inputs x with H = E[x x^T] + `--damping` * mean(diag H). Where its
    columns S, all of one channel, are removed and the others make up for them, its outputs change by

        sum over the rows w of W of w_S ([H^-1]_SS)^-1 w_S^T,

    here relative to E|W x|^2, so that layers can be compared. Of each group of channels the one that costs least goes
    first, W and H^-1 follow, and so on: score(c) is what it costs at that moment, or the most that one before it did.
    What it costs several readers adds up. `--repair least_squares` or `--compensate least_squares` then makes the
    layers make up for what is gone, which no score does.
    """

    damping: float = option(
        0.01, "added to the diagonal of the inputs' second moments, as a fraction of its mean", low=0, above=True
    )

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """What each channel costs when it goes; infinite where nobody reads it whose inputs can be looked at."""
        once = used_once(self.network, self.example)
        read = {name for group in self.groups.values() for name, _, _ in group.inputs}
        layers = prunable_layers(self.network)
        names = [name for name in layers if name in read & once and getattr(layers[name], "groups", 1) == 1]
        readers: dict[str, Reader] = {}

        def look(name: str, layer: nn.Module, inputs: Tensor) -> None:
            readers[name] = Reader(name, layer, inputs, self.damping)

        see_inputs(self.network, names, calibration_images(batches), look)
        return {root: removal_costs(group, readers) for root, group in self.groups.items()}
