"""What a part of a run keeps so that an interrupted run can go on as if nothing had happened."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Stateful:
    """A part that changes while a run goes on: `state_attrs` names the attributes that do, beside those of its bases.

    Their values are numbers, text, tensors, None, and lists, tuples and dictionaries of these.
    """

    state_attrs: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """Return the attributes that `state_attrs` names, of this class and of all its bases."""
        names = [name for kind in type(self).__mro__ for name in vars(kind).get("state_attrs", ())]
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the attributes again. Raises `ValueError` for another name than `state_attrs` has."""
        names = Stateful.state_dict(self)
        for name, value in state.items():
            if name not in names:
                raise ValueError(f"{type(self).__name__} keeps no {str(name)[:80]!r}")
            setattr(self, name, value)


def load_own(network: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Give a network tensors of its own `state_dict` back, kept by name alone.

    torch keeps versions of modules beside the names, without which some, as torchvision's MNASNet, load nothing.
    """
    whole = OrderedDict(state)
    whole._metadata = network.state_dict()._metadata
    network.load_state_dict(whole, strict=strict)
