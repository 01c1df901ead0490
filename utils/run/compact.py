"""Keeps a finished network a second time, without the channels that it does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils.errors import one_line
from utils.measure.flops import count_flops
from utils.pruning.compaction import compact, difference
from utils.run.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from utils.run.run import Run

#: A smaller network is kept where its outputs differ by so little, relative to the largest.
TOLERANCE = 1e-5


def save_compact(run: Run, epoch: int) -> dict[str, int] | None:
    """Write the checkpoint `<Model>_compact` of a network with masks, where any channel can go.

    Returns what is left: parameters, FLOPs of an image, and how many nodes were removed. Where the smaller network
    cannot be made or does not compute the same, a notice says so and nothing is written.
    """
    if run.arguments.no_compact or not (run.masks.kept and run.writes):
        return None
    try:
        smaller = compact(run.network, run.example, run.masks)
        apart = difference(run.network, smaller.network, run.example) if smaller else 0.0
        reason = "" if apart <= TOLERANCE else f"its outputs would differ by {apart:.1e}"
    except Exception as error:  # whatever a network does that cannot be traced, the run has finished well
        reason = f"{type(error).__name__}: {one_line(error)}"
    if reason:
        notice = f"the network was not compacted: {reason}"
        run.notices.append(notice)
        run.log.warning(notice)
        return None
    if smaller is None:
        return None
    figures = {
        "parameters": sum(parameter.numel() for parameter in smaller.network.parameters()),
        "flops": count_flops(smaller.network.cpu(), run.example.cpu()).total,
        "nodes_removed": smaller.nodes,
    }
    facts = {**run.identity, "cuts": [*run.history, smaller.cuts], "epoch": epoch, "figures": figures}
    with run.telling():
        save_checkpoint(run.folder.models / f"{run.model_name}_compact", smaller.network, smaller.masks, facts)
    return figures
