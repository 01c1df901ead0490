"""The base of criteria that remove channels: what is pruned is gone, not zero."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from secateur.channels.compensation import compensate
from secateur.channels.groups import Group, Outputs, outputs_of
from secateur.channels.surgery import Removal, Surgery
from secateur.channels.tracing import tensors_of
from secateur.config.option import option
from secateur.pruning.criterion import Criterion
from secateur.pruning.layers import COMPUTED, computed_layers, outputs_first, prunable_layers, told
from secateur.pruning.parts import DISTRIBUTIONS, ranked_together, shares_of
from secateur.pruning.plan import Plan, PruningStep, Timeline
from secateur.pruning.saliency import Batch
from secateur.pruning.selection import checked_scores
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.pruning.widths import Widths


class StructuredCriterion(Criterion):
    """Base of the criteria of channels: most define `channel_scores` alone.

    What is said of channels holds for the outputs of Linear layers too. Channels that are coupled, as by a residual
    addition, have one score and go together; a layer never loses its last one. Those of the first layer are ranked like
    all others, whether `--outer_layer_pruning` is given or not; the network's inputs and its classes always stay.
    """

    unit = "units"
    #: Outputs of each layer that can be removed, before anything was and as `trace` found them last.
    _dense: Counter[str] = Counter()
    _left: Counter[str] = Counter()
    #: The groups of channels as `trace` found them last, by their root layer's name.
    groups: dict[str, Group] = {}
    #: What `trace` has returned last, and the shapes that the network had then.
    _surgery: tuple[list[tuple[str, torch.Size]], Surgery] | None = None

    compensate: str = option(
        "none",
        "adjust the layers after removed channels: merge, neuron merging (Kim et al., 2020), or least_squares, which "
        "refits them to their former outputs on --saliency_batches batches",
        choices=("none", "merge", "least_squares"),
    )
    round_to: int = option(
        1,
        "round the number of channels kept to the nearest multiple of N, in layers with at least twice as many, not of "
        "attention heads; auto (0): up to the next multiple of 8 unless that is slower on this machine",
        low=0,
        synonyms={"auto": "0"},
        metavar="N|auto",
    )
    cost: str = option(
        "none",
        "divide the scores of channels by their cost: flops, or the latency of the layers that they are part of, for "
        "a batch of N images, measured once on each machine (as a knapsack: Shen et al., 2022, HALP)",
        pattern=(r"none|flops|latency(@[1-9]\d{0,4})?", "none, flops, latency or latency@64, of a batch of 64 images"),
        metavar="none|flops|latency|latency@N",
    )
    min_channels: int = option(
        1, "keep at least N channels of each layer; attention heads do not count", low=1, metavar="N"
    )
    merge_threshold: float | None = option(
        None,
        "merge filters whose cosine similarity is at least T (default: 0.45, before batch norm 0.1)",
        low=0,
        high=1,
        metavar="T",
    )
    merge_lambda: float = option(
        0.8, "weight of the cosine similarity in the choice of filters before batch norm", low=0, high=1, metavar="L"
    )
    merge_formula: str = option(
        "published",
        "merge through batch norm as in the paper's experiments, or exactly",
        choices=("published", "algebraic"),
    )

    def channel_scores(self, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Return the score of each channel of each group in `self.groups`, tensors (C,): the smallest are removed.

        `batches` are some batches of training data, inputs (B, C, H, W) and targets (B,), on the network's device.
        """
        raise UserError(f"the criterion {type(self).__name__} has no method channel_scores(batches)")

    def plan(self, timeline: Timeline) -> Plan:
        """Say after how many steps of training which fractions of the channels are to be gone.

        Raises `UserError` where no channel of the network can be removed.
        """
        self.trace()
        if not any(group.removable(range(len(group.units))) for group in self.groups.values()):
            why = told(self.left_out) or "they are all inputs or classes"
            raise UserError(f"no channels of this network can be removed: {why}")
        return self.plan_of_axes(timeline)

    def check_axes(self) -> None:
        """Refuse what is for weights alone."""
        super().check_axes()
        who = type(self).__name__
        if self.distribution not in DISTRIBUTIONS:
            raise UserError(
                f"--distribution {self.distribution} is for weights; {who} removes channels: global or uniform, "
                "isomorphic or sensitivity"
            )
        for flag, is_set in (("shuffle_masks", self.shuffle_masks), ("disable_masking", not self.masks.hold)):
            if is_set:
                raise UserError(f"--{flag} is for masks of weights, and {who} removes channels: leave it out")
        if self.group_pattern:
            raise UserError(f"--pattern {self.pattern} is for weights, and {who} removes channels: leave it out")
        if self.compensation != self.compensate != "none":
            raise UserError(f"--repair merge and --compensate {self.compensate} adjust the same weights: give one")

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect, each with the reason."""
        idle = super().idle_options() | {"outer_layer_pruning": ""}
        merging = ("merge_threshold", "merge_lambda", "merge_formula")
        return idle | (dict.fromkeys(merging, "without --compensate merge") if self.compensation != "merge" else {})

    def trace(self) -> Surgery:
        """Find the groups of channels as they are now, `self.groups` by their root layer's name."""
        shapes = [(name, tensor.shape) for name, tensor in tensors_of(self.network)]
        if self._surgery is not None and self._surgery[0] == shapes and self._surgery[1].groups is self.groups:
            return self._surgery[1]
        known = {*self.groups} | {name for group in self.groups.values() for name, _, _ in group.outputs}
        surgery = Surgery(self.network, self.example, known or None, self.ignored)
        if not self.groups:
            computed = dict.fromkeys(computed_layers(self.network), COMPUTED)
            self.left_out = computed | {name: str(held) for name, held in surgery.fixed.items()}
        self.groups, self._surgery = surgery.groups, (shapes, surgery)
        self._left = outputs_of(self.groups.values())
        # Those that cannot go have never gone.
        outputs = {name: len(outputs_first(layer)) for name, layer in prunable_layers(self.network).items()}
        self._dense = Counter(
            {name: self.dense_outputs[name] - outputs[name] + left for name, left in self._left.items()}
        )
        return surgery

    def state_dict(self) -> dict[str, Any]:
        """Return what changes, with the names of the groups that have worked so far."""
        return {**super().state_dict(), "groups": list(self.groups)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these groups alone."""
        self.groups = {root: group for root, group in self.groups.items() if root in state["groups"]}
        super().load_state_dict({name: value for name, value in state.items() if name != "groups"})

    @property
    def compensation(self) -> str:
        """How what reads removed channels is adjusted; `--repair merge` is `--compensate merge`."""
        return "merge" if "merge" in (self.repair or ()) else self.compensate

    @property
    def dense_nodes(self) -> int:
        """How many channels could be removed before anything was removed."""
        return sum(self._dense.values())

    @property
    def nodes(self) -> int:
        """How many channels can be removed now."""
        return sum(self._left.values())

    def prune(self, sparsity: float, batches: Iterable[Batch], epoch: int = 0, last: bool = False) -> PruningStep:
        """Remove channels until this fraction of the channels is gone, as nearly as whole groups allow."""
        start = time.perf_counter()
        if self.compensation == "least_squares":
            batches = list(batches)  # they are looked at twice
        surgery = self.trace()
        step = self.remove_by(self.channel_scores(batches), surgery, batches, sparsity, epoch)
        step.seconds = time.perf_counter() - start
        return step

    def remove_by(
        self,
        scores: dict[str, Tensor],
        surgery: Surgery,
        batches: Iterable[Batch],
        sparsity: float,
        epoch: int = 0,
    ) -> PruningStep:
        """Remove channels as `prune` does, by these scores; `batches` are for what makes up for them."""
        shapes = {root: torch.Size([group.channels]) for root, group in self.groups.items()}
        finite = checked_scores(scores, shapes, type(self).__name__, "channel_scores", "group")
        if self.invert_scores:
            finite = {root: -score for root, score in finite.items()}
        # What a criterion gives an infinite score, it has no score for.
        scores = {root: score.masked_fill(scores[root].isposinf(), torch.inf) for root, score in finite.items()}
        chosen = self.choose(self.unit_scores(scores), sparsity)
        removals: list[Removal] = [
            (root, sorted(self.groups[root].units[units].flatten().tolist())) for root, units in chosen.items()
        ]
        broken = surgery.breaches(removals)
        refused = [
            f"no channels of {root} and what is coupled to it were removed: {why}" for root, why in broken.items()
        ]
        removals = [removal for removal in removals if removal[0] not in broken]
        chosen = {root: units for root, units in chosen.items() if root not in broken}
        masks = {root: torch.ones_like(score, dtype=torch.bool) for root, score in scores.items()}
        for root, channels in removals:
            masks[root][channels] = False
        lost = Outputs()
        kept = self.nodes - sum(lost.add(self.groups[root], units) for root, units in chosen.items())
        notices = refused + compensate(surgery, removals, batches, self)
        changed = surgery.remove(removals)
        asked = self.has_limit and not self.own_sparsities
        self.masks.keep_indices(changed)
        return PruningStep(
            epoch,
            sparsity if asked or not self.dense_nodes else 1 - kept / self.dense_nodes,
            self.dense_nodes,
            kept,
            scores,
            masks,
            unit=self.unit,
            kept_indices=changed,
            removed=removals,
            notices=notices,
        )

    def unit_scores(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add up the scores of the channels that go together; on the CPU.

        Of heads, and of what is in each of them, it is the mean: they are of many channels, each of which goes with
        either of two units.
        """
        found = {}
        for root, group in self.groups.items():
            of_units = scores[root].cpu()[group.units]
            found[root] = of_units.mean(1) if group.divided else of_units.sum(1)
        if self.cost != "none":
            costs = self._widths().unit_costs(self.cost.partition("@")[0])
            found = {root: score / costs[root] for root, score in found.items()}
        return found

    def _widths(self) -> Widths:
        """What channels cost, of the network as it is."""
        from secateur.pruning.widths import Widths  # here, as most runs count channels alone

        asked = [target.images for target in self.meter.targets if target.what == "latency"] if self.meter else []
        images = int(self.cost.partition("@")[2] or max(asked, default=1))
        return Widths(self.network, self.example, self.groups, images)

    def choose(self, scores: dict[str, Tensor], sparsity: float) -> dict[str, list[int]]:
        """Say which units of which group go, given the scores of each group's units (N,)."""
        chosen: dict[str, list[int]] = {}
        parts = [(list(scores), sparsity)]
        if self.distribution != "global" or self.own_sparsities:
            own = {name: self.progress(sparsity) * wanted for name, wanted in self.own_sparsities.items()}
            if self.distribution == "sensitivity":
                own = shares_of(self.sensitivity, self.groups, self._dense, own, sparsity)
            parts = ranked_together(self.network, self.groups, self.distribution, own, sparsity)
        for roots, wanted in parts:
            here = outputs_of(self.groups[root] for root in roots)
            # Of a layer that is in several, its share.
            dense = sum(self._dense[name] * count // self._left[name] for name, count in here.items())
            excess = sum(here.values()) - (1 - wanted) * dense
            chosen |= self._lowest({root: scores[root] for root in roots}, excess)
        return chosen

    def _lowest(self, scores: dict[str, Tensor], excess: float) -> dict[str, list[int]]:
        """Take the units of the smallest scores, about `excess` channels; of equal scores the last go first."""
        candidates, orders = [], {}
        for root, score in scores.items():
            values, nodes = score.tolist(), self.groups[root].nodes.tolist()
            order = sorted(range(len(values)), key=lambda unit, values=values: (values[unit], -unit))
            group = self.groups[root]
            orders[root] = going = group.removable(order, 1 if group.heads else self.min_channels)
            candidates += [(values[unit], root, unit, nodes[unit]) for unit in going if values[unit] < torch.inf]
        candidates.sort(key=lambda candidate: candidate[0])
        chosen: dict[str, list[int]] = {}
        lost, gone = Outputs(), 0
        for _, root, unit, nodes in candidates:
            if self.groups[root].divided:
                nodes = lost.more(self.groups[root], unit)
            if gone + nodes / 2 > excess:  # without it the target is nearer
                break
            gone += lost.add(self.groups[root], [unit]) if self.groups[root].divided else nodes
            chosen.setdefault(root, []).append(unit)
        return chosen if self.round_to == 1 else self._rounded(chosen, orders)

    def _rounded(self, chosen: dict[str, list[int]], orders: dict[str, list[int]]) -> dict[str, list[int]]:
        """Let as many units of each group go that a multiple of `round_to` is left, in the order that they go in."""
        found, widths = {}, None if self.round_to else self._widths()
        for root, units in chosen.items():
            group, number = self.groups[root], len(units)
            if widths and not group.heads:
                number = len(group.units) - widths.liked(root, len(group.units) - number)
            elif self.round_to and len(group.units) >= 2 * self.round_to and not group.heads:
                left = max(1, round((len(group.units) - number) / self.round_to)) * self.round_to
                number = max(0, len(group.units) - left)
            found[root] = orders[root][:number]
        return {root: units for root, units in found.items() if units}
