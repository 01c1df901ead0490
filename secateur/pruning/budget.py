"""What `--target` asks for, measured: how much has to be pruned for a latency, operations, parameters or bytes.

It is found by bisection over copies of the network, each pruned to another sparsity and measured as it will be run.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from secateur.channels.compaction import compact
from secateur.measuring.flops import count_flops
from secateur.measuring.latency import median_seconds, prepare
from secateur.measuring.sparsity import measure_sparsity, shown_share
from secateur.parallel.collectives import gathered
from secateur.pruning.criterion import NOMINAL, Criterion
from secateur.pruning.masks import zeros_of
from secateur.pruning.structured import StructuredCriterion
from secateur.pruning.targets import Target, read_target
from secateur.utils.errors import UserError
from secateur.utils.terminal import progress_bar

if TYPE_CHECKING:
    from secateur.pruning.saliency import Batch

#: What is reached lies between these multiples of what was asked: of exact counts, and of the clock. In a new process
#: the same network takes one to seven per cent less than beside those that were tried, so that the middle is above 1:
#: five per cent are promised there.
EXACTLY, BY_THE_CLOCK = (0.995, 1.0), (0.995, 1.035)
#: What lies between these by the clock may be reached, and is timed more often.
NEAR = (0.95, 1.05)
#: Steps before the last one, which cannot go back, leave at least so many times what is thought to be left in the end.
LEEWAY = 1.1
#: Sparsities that are tried at most; of a smoke run.
TRIES, SMOKE_TRIES = 14, 2
#: Beyond this sparsity no more digits are told.
ALMOST_ALL = 0.9999
#: At each try networks take turns for so many seconds, and at least so many turns, so many times, the median of which
#: counts; where the search could end, more often, as one time scatters by three per cent.
SECONDS, TURNS, ROUNDS, MORE_ROUNDS = 0.4, 3, 3, 9


class Meter:
    """Measures networks for targets; keeps a copy of the one that there was before pruning.

    `execution` is how networks are run: "dense", whose idle channels are removed, "sparse" or "auto"; under `autocast`.
    """

    execution = "dense"
    autocast: Callable[[], contextlib.AbstractContextManager] = staticmethod(contextlib.nullcontext)

    def __init__(self, texts: Iterable[str], network: nn.Module) -> None:
        self.targets = [read_target(text) for text in texts]
        names = [target.name for target in self.targets]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"--target asks for {twice[0].partition('@')[0]} twice")
        self.dense = copy.deepcopy(network)
        self._counts: dict[str, float] = {}

    @property
    def timed(self) -> bool:
        """Whether the clock has a say."""
        return any(target.what == "latency" for target in self.targets)

    def measure(self, network: nn.Module, example: torch.Tensor, rounds: int = ROUNDS) -> dict[str, float]:
        """Return for each target what the network takes, by its name: seconds, or a number."""
        found = counts(network, example) if any(target.what != "latency" for target in self.targets) else {}
        if self.timed:
            run = self.as_run(network, example)
            for target in self.targets:
                if target.what == "latency":
                    images = torch.rand(target.images, *example.shape[1:], device=example.device)
                    images = images.contiguous(memory_format=_layout(network))
                    networks = {"dense": self.dense, "pruned": run}
                    with self.autocast():
                        prepare(run, images)
                        taken = [median_seconds(networks, images, SECONDS, least=TURNS) for _ in range(rounds)]
                    # What the dense network takes at the same time makes up for what else the machine does.
                    first = self._counts.setdefault(target.name, median(one["dense"] for one in taken))
                    found[target.name] = (
                        first * median(one["pruned"] / one["dense"] for one in taken)
                        if target.relative
                        else median(one["pruned"] for one in taken)
                    )
        measured = {target.name: found[target.name] for target in self.targets}
        return gathered(measured)[0]  # one for all processes

    def asked(self, target: Target, example: torch.Tensor) -> float:
        """What a target comes to, in seconds or as a number."""
        if not target.relative:
            return target.amount
        if target.name not in self._counts:
            if target.what == "latency":
                self.measure(self.dense, example)
            else:
                self._counts |= counts(self.dense, example)
        return target.amount * self._counts[target.name]

    def excess(self, measured: dict[str, float], example: torch.Tensor) -> float:
        """The largest ratio of what was measured to what is asked: all targets hold where it is at most 1."""
        return max(measured[target.name] / self.asked(target, example) for target in self.targets)

    def shown(self, target: Target, measured: dict[str, float], example: torch.Tensor) -> str:
        """What was measured of a target, in the form that it was asked in."""
        amount = measured[target.name]
        if target.relative:
            return f"{target.what}={amount / self.asked(target, example) * target.amount:.4g}"
        if target.what == "latency":
            return f"latency={1000 * amount:.4g}ms@{target.images}"
        return f"{target.what}={amount:,.0f}"

    def as_run(self, network: nn.Module, example: torch.Tensor) -> nn.Module:
        """The network as it will be run."""
        if self.execution == "dense":
            with contextlib.suppress(ValueError):  # of a network that cannot be traced, which runs as it is
                if found := compact(network, example, zeros_of(network)):
                    return found.network
            return network
        from secateur.sparse.accelerate import Accelerated

        return Accelerated(network, self.execution)


def _layout(network: nn.Module) -> torch.memory_format:
    """The layout of images that the convolutions of a network are laid out for."""
    last = torch.channels_last
    weights = [weight for weight in network.parameters() if weight.dim() == 4 and weight[0, 0].numel() > 1]
    laid = bool(weights) and all(weight.is_contiguous(memory_format=last) for weight in weights if len(weight[0]) > 1)
    return last if laid and any(len(weight[0]) > 1 for weight in weights) else torch.contiguous_format


def counts(network: nn.Module, example: torch.Tensor) -> dict[str, float]:
    """Return flops, params and bytes of a network without its zeros; a layer that has zeros keeps a bit a weight."""
    sparsity = measure_sparsity(network)
    tensors = [*network.parameters(), *network.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    for name, weight in ((name, network.get_submodule(name).weight) for name in sparsity.sizes):
        if zeros := sparsity.sizes[name] - sparsity.nonzero[name]:
            size -= max(0, zeros * weight.element_size() - -(-weight.numel() // 8))
    return {
        "flops": count_flops(network, example).effective(sparsity.densities),
        "params": sparsity.parameters_kept,
        "bytes": size,
    }


def aim(criterion: Criterion, sparsity: float, batches: list[Batch], epoch: int, last: bool) -> float:
    """Return the sparsity that a pruning step approaches, where its schedule has `sparsity` of a nominal limit.

    What meets the targets is found at the first step and, as scores have changed, at the last one again, of criteria
    whose weights do not come back. Raises `UserError` where nothing meets them.
    """
    criterion.meter.execution, criterion.meter.autocast = criterion.execution, criterion.autocast
    if criterion.estimate is None or (last and criterion.regrowth is None):
        with torch.random.fork_rng(devices=[]):  # what is tried takes no random numbers from what trains
            criterion.estimate = _search(criterion, batches, epoch)
    estimate = criterion.estimate
    if last or criterion.regrowth is not None:
        return estimate
    return min(estimate * sparsity / NOMINAL, max(0.0, 1 - (1 - estimate) * LEEWAY))


def conclude(criterion: Criterion) -> list[str]:
    """Measure what was reached; returns what to tell of it."""
    meter, example, record, told = criterion.meter, criterion.example, criterion.budgets[-1], []
    measured = meter.measure(criterion.network, example, MORE_ROUNDS)
    record["sparsity"] = criterion.estimate
    for target in meter.targets:
        record[target.name] = {"asked": meter.asked(target, example), "reached": measured[target.name]}
        reached = meter.shown(target, measured, example)
        told.append(f"--target {target.text}: reached {reached} at sparsity {shown_share(criterion.estimate)}")
    return told


def _search(criterion: Criterion, batches: list[Batch], epoch: int) -> float:
    meter, example = criterion.meter, criterion.example
    lowest, highest = BY_THE_CLOCK if meter.timed else EXACTLY
    tries = SMOKE_TRIES if criterion.smoke else TRIES
    twins = _twins(criterion, batches, epoch)
    tried: list[dict[str, float]] = []
    # What is still to be searched, each end with its excess; that nothing takes nothing is a guess.
    low, high = (0.0, 0.0), (1.0, 0.0)
    with progress_bar(tries, "sparsities tried") as advance:
        for number in range(tries):
            middle = _between(low, high, (lowest + highest) / 2, halve=number % 2 == 0) if number else 0.0
            twin = twins(middle)
            measured = meter.measure(twin, example)
            excess = meter.excess(measured, example)
            if meter.timed and NEAR[0] <= excess <= NEAR[1]:  # what is not confirmed does not end the search
                measured = meter.measure(twin, example, MORE_ROUNDS)
                excess = meter.excess(measured, example)
            tried.append({"sparsity": middle, **measured, "excess": excess})
            advance(1, f"sparsity {middle:.4f}: {excess:.3f} of what is asked")
            if lowest <= excess <= highest or (excess <= 1 and not number):
                break
            low, high = ((middle, excess), high) if excess > highest else (low, (middle, excess))
    criterion.budgets.append({"asked": [target.text for target in meter.targets], "epoch": epoch, "tried": tried})
    within = [one for one in tried if lowest <= one["excess"] <= highest] or [
        one for one in tried if one["excess"] <= 1
    ]
    if within:
        return max(within, key=lambda one: one["excess"])["sparsity"]
    best = min(tried, key=lambda one: one["excess"])
    if criterion.smoke:
        return best["sparsity"]
    reached = ", ".join(meter.shown(target, best, example) for target in meter.targets)
    where = shown_share(best["sparsity"]) if best["sparsity"] <= ALMOST_ALL else f"above {ALMOST_ALL}"
    raise UserError(
        f"--target {','.join(target.text for target in meter.targets)} cannot be reached: the nearest is {reached}, at "
        f"sparsity {where}"
    )


def _between(low: tuple[float, float], high: tuple[float, float], aimed: float, halve: bool) -> float:
    """Where to look next between two sparsities with their excess: halfway, or where `aimed` is on a line."""
    if halve:
        return (low[0] + high[0]) / 2
    fraction = (low[1] - aimed) / (low[1] - high[1])
    return low[0] + min(0.999, fraction) * (high[0] - low[0])


def _twins(criterion: Criterion, batches: list[Batch], epoch: int) -> Callable[[float], nn.Module]:
    """Return what prunes a copy of the network to a sparsity; scores are computed once where they can be."""
    kind = type(criterion)
    method = "channel_scores" if isinstance(criterion, StructuredCriterion) else "scores"
    plain = kind.prune in (Criterion.prune, StructuredCriterion.prune)
    known: dict[str, Any] = {}

    def pruned(sparsity: float) -> nn.Module:
        twin = _copied(criterion)
        if plain:
            compute = getattr(twin, method)

            def scores(given: Iterable[Batch]) -> dict[str, torch.Tensor]:
                if not known:
                    known.update(compute(given))
                return dict(known)

            setattr(twin, method, scores)
        twin.estimate = sparsity
        twin.prune(sparsity, batches, epoch)
        return twin.network

    return pruned


def _copied(criterion: Criterion) -> Criterion:
    """A copy with a network of its own; what it only looks at, and what measures, is shared."""
    shared = (criterion.meter, criterion.reference, criterion.example, criterion.autocast)
    return copy.deepcopy(criterion, {id(one): one for one in shared if one is not None})
