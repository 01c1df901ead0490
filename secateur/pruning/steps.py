"""A pruning step with what may belong to it: the sparsity that meets a target, and repairs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from secateur.pruning.plan import PruningStep
from secateur.pruning.saliency import Batch

if TYPE_CHECKING:
    from secateur.pruning.criterion import Criterion


def prune_and_repair(
    criterion: Criterion, sparsity: float, batches: Iterable[Batch], epoch: int, last: bool, final: bool
) -> PruningStep:
    """Prune and repair as `Criterion.prune_and_repair` says."""
    start = time.perf_counter()
    batches = list(batches)
    notices = []
    repairs = [name for name in criterion.repair or () if name != "merge"]  # which is made as channels are removed
    between = criterion.repair_between or []
    if looks_back := bool(repairs or between):
        from secateur.pruning.repair import Reference, Steps, idle, repair

        if criterion.reference is None:
            follows = criterion.unit == "units"
            criterion.reference = Reference(criterion.network, batches, follows=follows, most=criterion.repair_images)
    if criterion.target:
        from secateur.pruning.budget import aim, conclude

        sparsity = aim(criterion, sparsity, batches, epoch, last)
    step = criterion.prune(sparsity, batches, epoch, last)
    if criterion.target and last:
        notices += conclude(criterion)
    if looks_back:
        criterion.reference.keep_indices(criterion.network, step.kept_indices)
        step.repairs = repair(
            criterion.network,
            criterion.reference,
            repairs if final else between,
            criterion.masks,
            Steps(criterion.distill_steps, criterion.distill_rate, criterion.seed, criterion.autocast),
        )
        criterion.repairs += [{"epoch": epoch, "sparsity": step.sparsity} | asdict(one) for one in step.repairs]
        if final:
            criterion.reference = None
            notices += idle(criterion.network, repairs, rewinds=criterion.rewinds) if repairs else []
    step.notices += notices
    step.seconds = time.perf_counter() - start
    return step
