"""What is planned and what is done: schedules of sparsities, their timing, and the record of each pruning step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from secateur.channels.surgery import KeptIndices, Removal
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.pruning.criterion import Criterion
    from secateur.pruning.repair import Repair


def one_shot(limit: float, steps: int) -> list[float]:
    """Go to the limit at once; `steps` is not used."""
    return [limit]


def snip_it(limit: float, steps: int) -> list[float]:
    """Halve the distance to the limit at each step, from 0.5 on, and end at the limit itself.

    SNIP-it (Verdenius et al., 2020, algorithm 1): k_i = limit - (limit - 0.5) * 0.5^i for i = 0..steps, then limit.
    For a limit of 0.5 or less the formula starts at or beyond the limit, from where no weight comes back; the schedule
    then is the limit alone.
    """
    return _rising(limit, [limit - (limit - 0.5) * 0.5**i for i in range(steps + 1)])


def linear(limit: float, steps: int) -> list[float]:
    """Take the same number of weights at each step: limit * i / steps."""
    return _rising(limit, [limit * i / steps for i in range(1, steps)])


def exponential(limit: float, steps: int) -> list[float]:
    """Take the same share of what is left at each step: 1 - (1 - limit)^(i / steps).

    SynFlow (Tanaka et al., 2020, algorithm 1), FORCE (de Jorge et al., 2021, equation 8) and the rounds of the lottery
    ticket hypothesis (Frankle and Carbin, 2019, section 1).
    """
    return _rising(limit, [1 - (1 - limit) ** (i / steps) for i in range(1, steps)])


def cubic(limit: float, steps: int) -> list[float]:
    """Take many weights first and few at the end: limit * (1 - (1 - i / steps)^3).

    Gradual magnitude pruning (Zhu and Gupta, 2018, equation 1, from a sparsity of 0).
    """
    return _rising(limit, [limit * (1 - (1 - i / steps) ** 3) for i in range(1, steps)])


def _rising(limit: float, sparsities: list[float]) -> list[float]:
    """`sparsities` as far as each is above the one before and below the limit, then the limit itself, exactly."""
    return [*sorted({sparsity for sparsity in sparsities if 0 < sparsity < limit}), limit]


#: What `--prune_schedule` and a criterion's `schedule` can name: (limit, steps) -> cumulative sparsities.
SCHEDULES: dict[str, Callable[[float, int], list[float]]] = {
    schedule.__name__: schedule for schedule in (one_shot, snip_it, linear, exponential, cubic)
}


@dataclass(frozen=True)
class Timeline:
    """How long training is and when pruning may happen, in epochs, and how many steps of the optimizer an epoch has."""

    pre_epochs: int
    epochs: int
    prune_delay: int
    prune_freq: int
    batches: int
    #: Whether all pruning steps are made now, whenever the criterion would make them.
    at_once: bool = False

    @property
    def total(self) -> int:
        """Epochs of the whole run."""
        return self.pre_epochs + self.epochs

    def steps_within(self, fraction: float) -> int:
        """How many pruning steps of `during_training` fit into this fraction of `epochs`; at least one."""
        last = int(fraction * self.epochs)
        return max((last - self.prune_delay) // self.prune_freq + 1, 1)


@dataclass
class Plan:
    """What a run does when."""

    #: Epochs of the whole run.
    epochs: int
    #: Steps trained so far -> the sparsities to approach then, in this order.
    pruning_steps: dict[int, list[float]] = field(default_factory=dict)


def before_training(sparsities: list[float], timeline: Timeline) -> Plan:
    """All pruning steps at once, before the first epoch (or after `--pre_epochs`)."""
    return Plan(timeline.total, {timeline.pre_epochs * timeline.batches: sparsities})


def during_training(sparsities: list[float], timeline: Timeline) -> Plan:
    """One pruning step before each epoch `--prune_delay`, `--prune_delay` + `--prune_freq`, ... after `--pre_epochs`.

    Raises `UserError` where the last step would come after the last epoch.
    """
    return _every(timeline.prune_freq, timeline.prune_delay, sparsities, timeline)


def in_rounds(sparsities: list[float], timeline: Timeline) -> Plan:
    """Like `during_training`, but each step comes after its round of `--prune_freq` epochs.

    Raises `UserError` where the last step would come after the last epoch.
    """
    return _every(timeline.prune_freq, timeline.prune_delay + timeline.prune_freq, sparsities, timeline)


def late_in_training(sparsities: list[float], timeline: Timeline) -> Plan:
    """All pruning steps at once, after seven eighths of `--epochs`; or at `--prune_delay` where that was typed."""
    epoch = timeline.pre_epochs + timeline.epochs * 7 // 8
    return Plan(timeline.total, {epoch * timeline.batches: sparsities})


def after_training(sparsities: list[float], timeline: Timeline) -> Plan:
    """All pruning steps at once, after the last epoch: nothing is fine-tuned."""
    return Plan(timeline.total, {timeline.total * timeline.batches: sparsities})


def multishot(sparsities: list[float], timeline: Timeline) -> Plan:
    """Each pruning step after `--pre_epochs` of its own; `--epochs` follow the last one.

    Raises `UserError` without `--pre_epochs`.
    """
    if not timeline.pre_epochs:
        raise UserError("--experiment multishot trains before each pruning step: say how long by --pre_epochs")
    pruning_steps = {
        number * timeline.pre_epochs * timeline.batches: [sparsity]
        for number, sparsity in enumerate(sparsities, start=1)
    }
    return Plan(len(sparsities) * timeline.pre_epochs + timeline.epochs, pruning_steps)


def _every(interval: int, first: int, sparsities: list[float], timeline: Timeline) -> Plan:
    epochs = [timeline.pre_epochs + first + number * interval for number in range(len(sparsities))]
    if epochs[-1] >= timeline.total:
        needed = epochs[-1] - timeline.pre_epochs + 1
        raise UserError(
            f"{len(epochs)} pruning steps, from --prune_delay {timeline.prune_delay} every {timeline.prune_freq} "
            f"epochs, need at least --epochs {needed}; there are {timeline.epochs}"
        )
    return Plan(
        timeline.total,
        {epoch * timeline.batches: [sparsity] for epoch, sparsity in zip(epochs, sparsities, strict=True)},
    )


TimingRule = Callable[[list[float], Timeline], Plan]

#: What `--prune_moment` and a criterion's `timing` can name.
TIMINGS: dict[str, TimingRule] = {
    "before": before_training,
    "during": during_training,
    "rounds": in_rounds,
    "late": late_in_training,
    "after": after_training,
    "multishot": multishot,
}


def check_amount(criterion: Criterion) -> None:
    """Raise `UserError` where options say twice how much is pruned, or what cannot be chosen."""
    who, given, pattern = type(criterion).__name__, criterion.given, f"--pattern {criterion.pattern}"
    has_limit, in_groups, target = criterion.has_limit, criterion.group_pattern, criterion.target
    if (in_groups or target) and {"pruning_limit", "compression"} & given:
        what = f"--target {','.join(target)}" if target else pattern
        raise UserError(f"{what} says how much is pruned: leave out the limit")
    if in_groups and "distribution" in given and criterion.distribution != "uniform":
        raise UserError(f"{pattern} prunes all layers alike: leave out --distribution")
    if not has_limit and (in_groups or "distribution" in given):
        flag = "pattern" if in_groups else "distribution"
        raise UserError(f"{who} prunes all weights that are small, wherever they are: leave out --{flag}")
    for flag, is_set in (("target", target), ("layer_sparsity", criterion.layer_sparsity)):
        if is_set and (in_groups or not has_limit):
            raise UserError(
                f"{pattern if in_groups else who} says how much of each layer is pruned: leave out --{flag}"
            )
    if (criterion.distribution == "sensitivity") != (criterion.sensitivity is not None):
        raise UserError("--distribution sensitivity and --sensitivity PATH, the table that it uses, need each other")
    if "merge" in (criterion.repair or ()) and criterion.unit != "units":
        raise UserError(f"--repair merge is for channels that are removed, and {who} prunes weights: leave it out")
    if target and not criterion.masks.hold:
        raise UserError("--target is for weights that stay pruned, and --disable_masking lets go of them: give one")


def idle_repairs(criterion: Criterion, *, at_once: bool) -> dict[str, str]:
    """Return the options of repairs that have no effect, with the reason; `at_once`: several steps are made so."""
    repairs = {*(criterion.repair or ()), *(criterion.repair_between or ())}
    idle = {} if at_once else {"repair_between": "without several pruning steps at once: see --prune_schedule"}
    if not repairs - {"merge", "distill"}:
        idle["repair_images"] = "without a --repair of layers"
    distilling = () if "distill" in repairs else ("distill_steps", "distill_rate")
    return idle | dict.fromkeys(distilling, "without --repair distill")


@dataclass(slots=True)
class PruningStep:
    """One step of pruning: its target and what came of it."""

    #: Epochs of training before it.
    epoch: int
    #: Its target: the fraction of the candidates that is pruned after it; without one, what that has come to.
    sparsity: float
    #: Weights or units that can be pruned, and those of them that are kept now.
    candidates: int
    kept: int
    #: The scores, by layer; -inf for a weight that had been pruned before and cannot come back.
    scores: dict[str, Tensor] = field(repr=False)
    masks: dict[str, Tensor] = field(repr=False)
    #: True where a weight has come back, for the layers where some have.
    regrown: dict[str, Tensor] = field(default_factory=dict, repr=False)
    #: Layers that have lost their last weight in this step.
    collapsed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: What is counted: "weights", or "units" where channels were removed.
    unit: str = "weights"
    #: Of the tensors that have become smaller, by their names in the state_dict: where what is left of them was in the
    #: flattened tensor before.
    kept_indices: KeptIndices = field(default_factory=KeptIndices, repr=False)
    #: The layers and channels that were removed, which repeats the step on a network as it was before.
    removed: list[tuple[str, list[int]]] = field(default_factory=list, repr=False)
    #: Told to the user and kept in results.json.
    notices: list[str] = field(default_factory=list, repr=False)
    #: What was repaired after it.
    repairs: list[Repair] = field(default_factory=list)
    #: What it did to weights before it removed channels, where it did both; of their shapes before that.
    weights: PruningStep | None = None

    @property
    def pruned(self) -> float:
        """The fraction of the candidates that is pruned now, in [0, 1]."""
        return 1 - self.kept / self.candidates if self.candidates else 0.0

    def without_tensors(self) -> PruningStep:
        """Return the figures alone, which take next to no memory."""
        weights = self.weights.without_tensors() if self.weights else None
        none: dict[str, Tensor] = {}
        return replace(self, scores=none, masks=none, regrown=none, kept_indices=KeptIndices(), weights=weights)

    def __str__(self) -> str:
        parts = [self.weights, self] if self.weights else [self]
        rows = [
            f"{part.unit:<8} {part.kept:>12,} of {part.candidates:>12,} kept   sparsity {part.pruned:.4f}"
            for part in parts
        ]
        if self.collapsed:
            rows.append(f"layers without any weight: {', '.join(self.collapsed)}")
        return "\n".join([*rows, *map(str, self.repairs), *self.notices])


#: The attribute of a network that holds its record; it is no parameter, and in no `state_dict`.
ATTRIBUTE = "_secateur_record"


@dataclass(frozen=True)
class PruningRecord:
    """What was removed, step by step; which layers have masks; and the shape (C, H, W) of the images it takes."""

    removed: list[list[Removal]]
    masked: list[str]
    input_shape: tuple[int, ...]


def remember(network: nn.Module, removed: Iterable[Iterable[Removal]], masked: Iterable[str], example: Tensor) -> None:
    """Keep a record with the network; `example` (1, C, H, W) is an image that it takes."""
    record = PruningRecord([list(removals) for removals in removed], list(masked), tuple(example.shape[1:]))
    setattr(network, ATTRIBUTE, record)


def record_of(network: nn.Module) -> PruningRecord | None:
    """Return a network's record; None where it was never pruned."""
    return getattr(network, ATTRIBUTE, None)
