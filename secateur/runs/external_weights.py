"""Weights of other projects, loaded into a network by their names, or by their order where the names differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from secateur.runs.external_masks import join_masks, masked
from secateur.runs.external_names import COUNTER, NameMatch, first, match_names, order_conflict, pair_in_order
from secateur.runs.external_tensors import SAVE, read_tensors
from secateur.utils.errors import UserError, one_line


def load_external(path: Path, network: nn.Module, *, partial: bool) -> list[str]:
    """Load the weights of a file into a network, and return the lines that say what was loaded and what was not.

    Tensors go by their names, or all of them by their order where the names differ and every shape agrees. With
    `partial` they go by their names alone, and what is missing or of another shape is left as it is. Raises `UserError`
    where the file cannot be read (see `read_tensors`) or does not fit the network.
    """
    own = network.state_dict()
    state, masks = join_masks(read_tensors(path), own)
    sources, lines = _choose(path, state, own, partial=partial)
    pruned = [source for source in sources.values() if source in masks]
    if pruned:
        lines.insert(0, f"{len(pruned)} tensors in {path.name} were multiplied by their masks ({first(pruned)})")
    try:
        # What does not fit is never multiplied: a file can claim any shape at no cost.
        state |= {source: masked(state[source], masks[source]) for source in pruned}
        network.load_state_dict({name: state[source] for name, source in sources.items()}, strict=False)
    except RuntimeError as error:  # of a type that does not become numbers of this one
        raise UserError(f"--checkpoint_model {path}: {one_line(error, 300)}") from error
    return [f"{len(sources)} of {len(own)} tensors loaded from {path}", *lines]


def _choose(
    path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor], *, partial: bool
) -> tuple[dict[str, str], list[str]]:
    """Which tensor of the file each tensor of the network takes, by their names, and the lines that say so.

    Raises `UserError` where neither names nor order fit.
    """
    match = match_names(state, own)
    comparison = _compare(state, own, match.sources)
    if comparison.complete or (partial and comparison.fitting):
        return comparison.fitting, [*_prefix_lines(path, match), *comparison.lines(path.name)]
    if conflict := _why_not_in_order(path, state, own, match, partial=partial):
        raise UserError(f"--checkpoint_model {path} is of another network: {comparison.refusal(len(own), conflict)}")
    pairs = pair_in_order(state, own)
    renamed = first([f"{source} -> {name}" for name, source in pairs.items()])
    return pairs, [f"names differ; {len(pairs)} tensors were matched in order, since all shapes agree: {renamed}"]


def _prefix_lines(path: Path, match: NameMatch) -> list[str]:
    """Say which prefix of the names was left out; raises `UserError` where another would fit as well."""
    if len(match.prefixes) > 1:
        raise UserError(
            f"--checkpoint_model {path} holds several networks that fit equally well, by the prefixes of their names "
            f"({first(match.prefixes)}): save the weights of one alone by {SAVE}"
        )
    return [f"names in {path.name} were read without their prefix {first([name])}" for name in match.prefixes if name]


def _why_not_in_order(
    path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor], match: NameMatch, *, partial: bool
) -> str:
    """Say what forbids to take the tensors in order; "" where nothing does."""
    if partial:
        return "--partial_checkpoint matches by name only"
    if path.name.lower().endswith(".safetensors"):
        return "a safetensors file sorts them by name"
    return order_conflict(state, own, match.sources)


class _Comparison(NamedTuple):
    """The tensors of a file beside those of a network, by the names that match."""

    #: The name in the file of each tensor of the network that is there with its shape.
    fitting: dict[str, str]
    missing: list[str]
    misshaped: list[str]
    unknown: list[str]

    @property
    def complete(self) -> bool:
        """Whether the network gets all that it needs."""
        return bool(self.fitting) and not self.missing and not self.misshaped

    def _found(self) -> list[tuple[str, list[str]]]:
        found = [("missing", self.missing), ("of another shape", self.misshaped), ("unknown", self.unknown)]
        return [(what, names) for what, names in found if names]

    def refusal(self, total: int, conflict: str) -> str:
        """Say in one line why the file is of another network than this one of `total` tensors."""
        parts = [f"{len(names)} {what} ({first(names)})" for what, names in self._found()]
        hint = "--partial_checkpoint loads what fits" if self.fitting else f"not matched in order either: {conflict}"
        return "; ".join([f"{len(self.fitting)} of {total} tensors fit", *parts, hint])

    def lines(self, file: str) -> list[str]:
        """Say what of a file is not loaded, a line for each kind."""
        left = {"unknown": "not loaded"}
        return [
            f"{what} in {file}, {left.get(what, 'left at their initialisation')}: {len(names)} ({first(names)})"
            for what, names in self._found()
        ]


def _compare(state: Mapping[str, Tensor], own: Mapping[str, Tensor], sources: Mapping[str, str]) -> _Comparison:
    """Compare a file's tensors with a network's; `sources` has the names in the file by those in the network."""
    fitting = {name: sources[name] for name in own if name in sources and state[sources[name]].shape == own[name].shape}
    # A tensor may have two names, and counts of batches say nothing that a network needs.
    known = {own[name].data_ptr() for name in fitting}
    missing = [
        name for name in own if name not in sources and own[name].data_ptr() not in known and not name.endswith(COUNTER)
    ]
    misshaped = [
        f"{name} {tuple(state[sources[name]].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in sources and name not in fitting
    ]
    used = set(sources.values())
    return _Comparison(fitting, missing, misshaped, [name for name in state if name not in used])
