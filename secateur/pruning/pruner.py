"""Prunes a network step by step, in anybody's training loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.channels.surgery import Removal, replay
from secateur.config.option import Configurable, option
from secateur.measuring.sparsity import Sparsity, measure_sparsity
from secateur.parallel.collectives import check_same_pruning
from secateur.pruning.build import build_criterion, image_of, prepare_network, split_options
from secateur.pruning.criterion import Criterion
from secateur.pruning.masks import Holding, Masks, take_over
from secateur.pruning.plan import Plan, PruningStep, Timeline, record_of, remember
from secateur.pruning.saliency import Batch, LossFunction
from secateur.training.optimizers import follow_removals, zero_moments
from secateur.training.precision import Precision
from secateur.training.rewinding import Snapshot


class Pruner(Configurable):
    """Criterion, masks, planned steps, removed channels, the optimizer's state that follows, and rewinding, in one.

        pruner = secateur.Pruner(network, "SNIPitDuring", sparsity=0.98, batches=loader, loss=functional.cross_entropy,
                                 optimizer=optimizer, epochs=80, prune_delay=4, prune_freq=4)

    From then on any loop prunes: after each step of an optimizer that holds the network's weights, pruned weights are
    set to zero, and where the plan says so more are pruned. Gradients are masked as they arrive, before clipping,
    momentum and all-reduce see them. Where the plan begins before training, the first step is made at once.

    Parameters
    ----------
    network: any module that takes images (N, C, H, W); names of its state_dict stay, unless `prepare_network` tells.
    criterion: the name of a criterion, a class derived from `Criterion`, or one that was made.
    sparsity: the fraction in [0, 1) to prune, `pruning_limit` of the command line.
    batches: (inputs, targets) on the network's device, an iterable that can be gone through again; scores look at the
        first `saliency_batches` of them, or on class-balanced ones, `samples_per_class`.
    loss: `loss(logits, targets)`, a scalar, the mean over the images: scores look at a batch in parts.
    optimizer: the one that trains the network; what it keeps of each weight follows pruned weights and channels.
    example: one image (1, C, H, W), for tracing; by default taken from `batches`.
    epochs, pre_epochs: of training, before `epochs` begin those that train the dense network.
    steps_per_epoch: steps of the optimizer; by default as many as `batches` has.
    seed: what random criteria depend on.
    at_once: make every pruning step now, whatever the criterion's timing.
    execution, precision: how the network will be run, see `secateur.prune`; what `target` asks is measured so.
    planned: whether there is anything to prune; else it holds the masks of a finished network.
    attach: whether masks and steps follow the optimizer; else the caller calls `prune_as_planned`.
    on_step: called with each `PruningStep` that was made.
    options: the criterion's, and those below, as on the command line.

    Raises `UserError`, a `ValueError` of one line, for names, values and networks that cannot be.
    """

    title = "pruning"

    outer_layer_pruning: bool = option(
        False,
        "also prune the weights of the first and last layer (channels of the first always can be, classes never)",
        suggested_for="prune_last_layer prune_first_layer prune_classifier",
    )
    disable_masking: bool = option(False, "set pruned weights to zero only once; training may change them again")
    enable_rewinding: bool = option(False, "after each pruning step, rewind to the state saved at --rewind_to")
    rewind_to: int = option(
        0, "epoch of the state to rewind to; 0: initialisation", low=0, also=("rewind_epoch",), metavar="EPOCH", smoke=1
    )
    rewind_weights_only: bool = option(False, "rewind prunable weights only: no biases, norms, optimizer or schedule")
    reinitialise: bool = option(False, "sanity check: new weights after the last pruning step (Frankle et al., 2020)")

    def __init__(
        self,
        network: nn.Module,
        criterion: str | type[Criterion] | Criterion,
        *,
        sparsity: float | None = None,
        batches: Iterable[Batch] = (),
        loss: LossFunction = functional.cross_entropy,
        optimizer: torch.optim.Optimizer | None = None,
        example: Tensor | None = None,
        epochs: int = 0,
        pre_epochs: int = 0,
        steps_per_epoch: int | None = None,
        seed: int = 333,
        at_once: bool = False,
        execution: str = "dense",
        precision: str = "float32",
        planned: bool = True,
        attach: bool = True,
        on_step: Callable[[PruningStep], None] | None = None,
        fresh_network: Callable[[int], nn.Module] | None = None,
        **options: Any,
    ) -> None:
        if sparsity is not None:
            options["pruning_limit"] = sparsity
        own, options = split_options(type(self), options)
        super().__init__(**own)
        self.network, self.batches, self.optimizer, self.seed = network, batches, optimizer, seed
        #: Told with the next pruning step.
        self._notices: list[str] = []
        if not isinstance(criterion, Criterion):
            image = image_of(network, batches, example)
            self._notices += prepare_network(criterion, network, optimizer)
            masks = Masks(network, hold=not self.disable_masking)
            take_over(masks)
            outer = self.outer_layer_pruning
            criterion = build_criterion(criterion, network, masks, loss, image, outer, seed=seed, options=options)
        self.criterion, self.masks = criterion, criterion.masks
        criterion.rewinds, criterion.execution = self.rewinds, execution
        criterion.autocast = Precision(precision, criterion.example.device).autocast
        self.dense: Sparsity = measure_sparsity(network)
        if steps_per_epoch is None:
            steps_per_epoch = len(batches) if hasattr(batches, "__len__") and len(batches) else 1
        delay, frequency = criterion.prune_delay, criterion.prune_freq
        self.timeline = Timeline(pre_epochs, epochs, delay, frequency, steps_per_epoch, at_once)
        self.plan: Plan = criterion.plan(self.timeline) if planned else Plan(0)
        #: Steps of training -> the sparsities to approach then, that are still to come.
        self.pruning_steps = dict(self.plan.pruning_steps)
        #: What each pruning step did, without the tensors.
        self.steps: list[PruningStep] = []
        #: Steps of training finished, and pruning steps done, those before an interruption included.
        self.step = self.steps_done = 0
        #: The channels that were removed, step by step, which repeats it on a fresh network.
        self.removed: list[list[Removal]] = [*record.removed] if (record := record_of(network)) else []
        self.collapsed: list[str] = []
        #: What rewinding goes back to, from when it was reached.
        self.snapshot: Snapshot | None = None
        self.fresh_network, self.on_step = fresh_network, on_step
        #: Called with the step of the learning-rate schedule that rewinding goes back to.
        self.on_rewind: Callable[[int], None] = lambda _step: None
        self._holding: Holding | None = None
        if attach:
            self.attach()
            self.prune_as_planned()

    def idle_options(self) -> dict[str, str]:
        """Return the options that have no effect."""
        idle = ("rewind_to", "rewind_weights_only")
        return {} if self.rewinds else dict.fromkeys(idle, "without --enable_rewinding")

    @property
    def rewinds(self) -> bool:
        """Whether training goes back to earlier weights after each pruning step."""
        return self.enable_rewinding or self.criterion.in_levels

    @property
    def rewind_step(self) -> int:
        """The step of training that it goes back to."""
        return self.rewind_to * self.timeline.batches

    @property
    def sparsity(self) -> float:
        """The fraction of all prunable weights that is zero or removed, in [0, 1]; waits for the device."""
        return measure_sparsity(self.network, self.dense).weight_sparsity

    @property
    def left_out(self) -> dict[str, str]:
        """Layers that are not pruned, or not whole, each with the reason."""
        return self.criterion.left_out

    @property
    def finished(self) -> bool:
        """Whether no pruning step is still to come."""
        return not self.pruning_steps

    def prune_as_planned(self) -> list[PruningStep]:
        """Prune as far as the plan says for this step of training; returns what was done, nothing where none is due.

        `on_step` is called with each pruning step as it is; what is returned is without the tensors.
        """
        if self.rewinds and self.step == self.rewind_step and self.snapshot is None:
            self.snapshot = Snapshot(self.network, self.optimizer)
        sparsities = self.pruning_steps.pop(self.step, [])
        made = [self._prune(one, final=number == len(sparsities)) for number, one in enumerate(sparsities, start=1)]
        if made and self.finished and self.reinitialise and self.fresh_network:
            fresh = self.fresh_network(self.seed + 1).to(self.criterion.example.device)
            prepare_network(type(self.criterion), fresh)
            replay(fresh, self.criterion.example, self.removed)
            self._rewind(Snapshot(fresh), at=0)
        elif made and self.rewinds:
            self._rewind(self.snapshot, at=self.rewind_step)
        return made

    def _prune(self, sparsity: float, final: bool) -> PruningStep:
        self.steps_done += 1
        # Each step looks at batches of its own, where the source can make them: from an epoch that training never sees.
        epoch = getattr(self.batches, "epoch", None)
        source = epoch(-self.steps_done) if epoch else iter(self.batches)
        batches = self.criterion.scoring_batches(source)
        with self._holding.paused() if self._holding else contextlib.nullcontext():
            epoch = self.step // self.timeline.batches
            step = self.criterion.prune_and_repair(sparsity, batches, epoch, self.finished and final, final)
        step.notices, self._notices = self._notices + step.notices, []
        self.follow(step)
        check_same_pruning(self.masks, step.removed)
        for name, regrown in step.regrown.items():
            if self.optimizer is not None:
                zero_moments(self.optimizer, self.masks.weights[name], regrown)
        self.collapsed += [name for name in step.collapsed if name not in self.collapsed]
        self.steps.append(step.without_tensors())
        if self.on_step is not None:
            self.on_step(step)
        return self.steps[-1]

    def follow(self, step: PruningStep) -> None:
        """Let the optimizer's state and the snapshot follow the channels that were removed, and keep a record of it."""
        if step.kept_indices:
            self.removed.append(step.removed)
        remember(self.network, self.removed, self.masks.kept, self.criterion.example)
        if not step.kept_indices:
            return
        parameters = dict(self.network.named_parameters())
        if self.optimizer is not None and follow_removals(self.optimizer, parameters, step.kept_indices):
            kind = type(self.optimizer).__name__
            step.notices.append(f"--optimizer {kind} starts again whenever channels are removed")
            if self.snapshot:
                self.snapshot.forget_optimizer()
        if self.snapshot:
            names = {parameter: name for name, parameter in parameters.items()}
            groups = self.optimizer.param_groups if self.optimizer is not None else []
            order = [names.get(parameter, "") for group in groups for parameter in group["params"]]
            self.snapshot.keep_indices(step.kept_indices, order)

    def _rewind(self, snapshot: Snapshot, at: int) -> None:
        """Go back to a snapshot, under the masks of now, and to step `at` of the learning-rate schedule."""
        if self.rewind_weights_only:
            snapshot.restore_weights(self.masks.weights)
        else:
            snapshot.restore(self.network, self.optimizer)
            self.on_rewind(at)
        self.masks.apply_to_weights()

    def attach(self) -> None:
        """Let masks hold and pruning steps come with the steps of any optimizer that holds the network's weights."""
        self.detach()
        sees = self._see_gradient if self.criterion.needs_dense_gradients else None
        self._holding = Holding(self.masks, self.optimizer, sees, self.step_finished)

    def detach(self) -> None:
        """Let go: what is zero stays zero until somebody changes it."""
        if self._holding is not None:
            self._holding.detach()
        self._holding = None

    def step_finished(self) -> None:
        """Take in that the optimizer has made a step; more is pruned where that is due."""
        self.step += 1
        self.prune_as_planned()

    def _see_gradient(self, name: str, gradient: Tensor) -> None:
        if name in self.criterion.weights:
            self.criterion.after_backward({name: gradient})

    def after_backward(self) -> None:
        """Show the criterion the gradients as they are, before they are masked: for callers that `attach` nothing."""
        if self.criterion.needs_dense_gradients:
            gradients = {name: weight.grad for name, weight in self.criterion.weights.items()}
            self.criterion.after_backward({name: one for name, one in gradients.items() if one is not None})

    def state_dict(self) -> dict[str, Any]:
        """Return what changes: masks, removed channels, planned steps, snapshot, and what the criterion keeps."""
        return {
            "step": self.step,
            "steps_done": self.steps_done,
            "pruning_steps": self.pruning_steps,
            "removed": self.removed,
            "masks": self.masks.kept,
            "collapsed": self.collapsed,
            "criterion": self.criterion.state_dict(),
            "snapshot": self.snapshot.state_dict() if self.snapshot else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all that up again, in a pruner of a fresh dense network, which loses the same channels.

        The states of the network and of the optimizer are loaded afterwards.
        """
        for step, sparsities in state["pruning_steps"].items():
            if not (type(step) is int and sparsities and all(0 <= sparsity <= 1 for sparsity in sparsities)):
                raise ValueError(f"step {str(step)[:20]} prunes to {str(sparsities)[:80]}")
        if state["step"] < 0 or state["steps_done"] < 0:
            raise ValueError(f"step {state['step']} of training and {state['steps_done']} pruning steps done")
        replay(self.network, self.criterion.example, state["removed"][len(self.removed) :])
        self.removed = [list(removals) for removals in state["removed"]]
        self.step, self.steps_done = state["step"], state["steps_done"]
        self.pruning_steps, self.collapsed = dict(state["pruning_steps"]), list(state["collapsed"])
        self.masks.check(state["masks"])
        self.masks.restore(dict(state["masks"]))
        self.criterion.load_state_dict(state["criterion"])
        self.snapshot = Snapshot.of_state(state["snapshot"]) if state["snapshot"] else None
        remember(self.network, self.removed, self.masks.kept, self.criterion.example)

    def __str__(self) -> str:
        planned = sum(map(len, self.plan.pruning_steps.values()))
        done = f"{self.steps_done} of {planned} pruning steps"
        return f"{type(self.criterion).__name__}: {done}, sparsity {self.sparsity:.4f}"
