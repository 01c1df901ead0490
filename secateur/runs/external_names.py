"""Which tensor of a file belongs to which tensor of a network, where a program named them in another way.

Names come first: with the prefix left out that makes most of them fit. Where they do not fit, the order may decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple

from torch import Tensor

from secateur.utils.text import first_few, printable

#: What DataParallel, torch.compile, FSDP and activation checkpointing put between the parts of a name.
INSERTED = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
#: Counts the batches of a batch normalisation; older files have none, and no network needs it to compute.
COUNTER = "num_batches_tracked"
#: So many names are shown of a list.
SHOWN = 3


class NameMatch(NamedTuple):
    """Which names of a file and of a network belong together."""

    #: The name in the file of each tensor of the network that is named there.
    sources: dict[str, str]
    #: The prefix that was left out, "" for none; several where they fit equally well, of which the first was taken.
    prefixes: list[str]


class _Score(NamedTuple):
    """How well names fit; more is better."""

    #: Tensors of the network that are named, with the same shape.
    fitting: int = 0
    #: Tensors of the network that are named.
    named: int = 0


def match_names(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> NameMatch:
    """Match the names of a file's tensors, `state`, with the names of a network's, `own`.

    A prefix, as Lightning's `model.`, is left out where more tensors fit without it; the same holds for the parts that
    wrappers insert at any place (`INSERTED`). So a network that has a submodule of such a name keeps it.
    """
    readings = [{name: name for name in state}]
    bare = {_without_inserted(name): name for name in state}
    if len(bare) == len(state):  # else two tensors would share a name
        readings.append(bare)
    _, best = max((_best(reading, state, own) for reading in readings), key=itemgetter(0))
    return best


def _best(
    reading: Mapping[str, str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[tuple[int, int, int], NameMatch]:
    """The best match with one prefix left out, and its rank; `reading` maps what is read to the file's names."""
    scores = _scores(reading, state, own)
    ranks = {prefix: (*score, -len(prefix)) for prefix, score in scores.items()}  # of equals the shortest prefix
    best = max(ranks, key=ranks.__getitem__)
    sources = _sources(reading, best, own)
    # To leave out no prefix is better than to leave out one. One network may be held twice, as the same tensors.
    equals = [prefix for prefix in scores if best and prefix != best and scores[prefix] == scores[best]]
    rivals = [
        prefix for prefix in equals if _pointers(_sources(reading, prefix, own), state) != _pointers(sources, state)
    ]
    return ranks[best], NameMatch(sources, [best, *rivals])


def _without_inserted(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in INSERTED)


def _scores(reading: Mapping[str, str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, _Score]:
    """How well the names fit with each prefix left out, by prefix."""
    scores = {"": _Score()}
    depth = max((name.count(".") + 1 for name in own), default=0)
    for name, source in reading.items():
        parts = name.split(".")
        for length in range(1, min(depth, len(parts)) + 1):
            rest = ".".join(parts[-length:])
            if rest in own:
                prefix = name.removesuffix(rest)
                fitting, named = scores.get(prefix, _Score())
                scores[prefix] = _Score(fitting + (state[source].shape == own[rest].shape), named + 1)
    return scores


def _sources(reading: Mapping[str, str], prefix: str, own: Mapping[str, Tensor]) -> dict[str, str]:
    """The name in the file of each tensor of the network that it names, with the prefix or whole."""
    whole = {name: source for name, source in reading.items() if name in own}
    stripped = {name.removeprefix(prefix): source for name, source in reading.items() if name.startswith(prefix)}
    return whole | {name: source for name, source in stripped.items() if name in own}


def _pointers(sources: Mapping[str, str], state: Mapping[str, Tensor]) -> dict[str, int]:
    return {name: state[source].data_ptr() for name, source in sources.items()}


def pair_in_order(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, str]:
    """The name in the file of each tensor of the network, by position; counters of batches are passed over.

    Holds only as far as `order_conflict` finds nothing.
    """
    return dict(zip(_counted(own), _counted(state), strict=False))


def order_conflict(state: Mapping[str, Tensor], own: Mapping[str, Tensor], sources: Mapping[str, str]) -> str:
    """Say what forbids to take the tensors of a file in their order; "" where nothing does.

    All counts and shapes must agree, the last parts of the names must not say otherwise (a bias is no weight), and what
    is named in both (`sources`, of `match_names`) must stand at the same place.
    """
    here_count, there_count = len(_counted(own)), len(_counted(state))
    if here_count != there_count or not here_count:
        return f"counts of batches aside, it holds {there_count} tensors, the network {here_count}"
    kinds = {_kind(name) for name in own}
    for here, there in pair_in_order(state, own).items():
        if state[there].shape != own[here].shape:
            return f"{there[:150]} is {tuple(state[there].shape)}, and {here} here {tuple(own[here].shape)}"
        if _kind(there) != _kind(here) and (_kind(there) in kinds or _kind(there).endswith(("_orig", "_mask"))):
            return f"{there[:150]} stands in the place of {here}"
        if sources.get(here, there) != there:
            return f"{there[:150]} stands in the place of {here}, which is there too"
    return ""


def first(names: list[str]) -> str:
    """The first names of a list, as a terminal can show them, and how many more there are."""
    return first_few([printable(name)[:150] for name in names], SHOWN)


def _counted(names: Mapping[str, Tensor]) -> list[str]:
    return [name for name in names if _kind(name) != COUNTER]


def _kind(name: str) -> str:
    """The last part of a name, as weight or running_mean."""
    return name.rpartition(".")[2]
