"""Calibration images that go through a network part by part, by passes that only look at it.

What a part gives stays in the processor's caches, so that a pass is faster than with all images at once, and smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from secateur.pruning.layer_inputs import Sampler, see_inputs

#: Images of a part, on CPUs and elsewhere: multiples of `layer_inputs.CHUNK`.
PART, PART_ELSEWHERE = 64, 512

#: Called with a layer's name, the layer, and rows of its inputs (rows, G, F), part by part.
SeeRows = Callable[[str, nn.Module, Iterator[Tensor]], None]


class Images:
    """Images (N, C, H, W) that look at the layers `names` of a network, in parts where each image has its own rows.

    Where it has not, as where tokens come before images, all go through at once.
    """

    def __init__(self, network: nn.Module, names: Iterable[str], images: Tensor) -> None:
        self.all = images
        size = PART if images.device.type == "cpu" else PART_ELSEWHERE
        self.parts = images.split(size) if _come_first(network, names, images) else (images,)

    def look(self, network: nn.Module, names: Iterable[str], see: SeeRows) -> Any:
        """Let `see` have the sampled rows of each named layer; returns what the network gives, of all images."""
        samplers: dict[str, Sampler] = {}

        def see_part(name: str, layer: nn.Module, inputs: Tensor) -> None:
            if name not in samplers:
                samplers[name] = Sampler(name, len(inputs) * len(self.all) // len(self.parts[0]))
            see(name, layer, samplers[name].rows(layer, inputs))

        names = list(names)
        outputs = [see_inputs(network, names, part, see_part) for part in self.parts]
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _come_first(network: nn.Module, names: Iterable[str], images: Tensor) -> bool:
    """Whether the first dimension of what the network gives, and of what its layers get, counts images."""

    def lengths(some: Tensor) -> list[int]:
        found: list[int] = []
        outputs = see_inputs(network, names, some, lambda _name, _layer, inputs: found.append(len(inputs)))
        return [*found, len(outputs) if isinstance(outputs, Tensor) else 0]

    of_one, of_two = lengths(images[:1]), lengths(images[:2])
    return of_one[-1] > 0 and [2 * length for length in of_one] == of_two
