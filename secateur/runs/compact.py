"""Keeps a finished network a second time, without the channels that it does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secateur.channels.compaction import compact, difference
from secateur.measuring.flops import count_flops
from secateur.runs.checkpoint import save_checkpoint
from secateur.utils.errors import one_line

if TYPE_CHECKING:
    from secateur.runs.run import Run

#: A smaller network is kept where its outputs differ by so little, relative to the largest.
TOLERANCE = 1e-5


def save_compact(run: Run, epoch: int) -> dict[str, int] | None:
    """Write the checkpoint `<Model>_compact` of a network with masks, where any channel can go.

    Returns what is left: parameters, FLOPs of an image, and how many units were removed. Where the smaller network
    cannot be made or does not compute the same, a notice says so and nothing is written.
    """
    if not (run.masks.kept and run.is_main_process):
        return None
    try:
        smaller = compact(run.network, run.example, run.masks)
        apart = difference(run.network, smaller.network, run.example) if smaller else 0.0
        reason = "" if apart <= TOLERANCE else f"its outputs would differ by {apart:.1e}"
    except Exception as error:  # whatever a network does that cannot be traced, the run has finished well
        reason = f"{type(error).__name__}: {one_line(error)}"
    if reason:
        notice = f"the network was not compacted: {reason}"
        run.notify(notice)
        return None
    if smaller is None:
        return None
    figures = {
        "parameters": sum(parameter.numel() for parameter in smaller.network.parameters()),
        "flops": count_flops(smaller.network.cpu(), run.example.cpu()).total,
        "nodes_removed": smaller.nodes,
    }
    facts = {**run.model_spec, "cuts": [*run.removed, smaller.removals], "epoch": epoch, "figures": figures}
    with run.report_write_errors():
        save_checkpoint(run.folder.models / f"{run.model_name}_compact", smaller.network, smaller.masks, facts)
    return figures
