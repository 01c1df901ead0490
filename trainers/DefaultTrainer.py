"""The usual way to train, and to prune before, during or after it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from utils.errors import UserError
from utils.measure.evaluation import Evaluation, evaluate
from utils.measure.figures import network_figures
from utils.measure.flops import TRAINING_FACTOR
from utils.parallel.agreement import check_same_pruning, check_same_weights, draw_alike, draw_apart
from utils.parallel.batch_norm import joint_batch_norm
from utils.parallel.collectives import LostProcessError, from_first, size, sum_over_processes, take_from_first
from utils.pruning.criterion import PruningEvent
from utils.pruning.surgery import replay
from utils.remembering import Remembering
from utils.run.compact import save_compact
from utils.run.run import Run
from utils.run.states import write_state
from utils.training.means import RunningMeans
from utils.training.optimizers import (
    begin_anew,
    build_optimizer,
    build_schedule,
    clip_norm,
    cut_moments,
    decays_weights,
    forget,
    remembers_all_in_one,
)
from utils.training.random_numbers import random_state, set_random_state
from utils.training.rewinding import Snapshot

#: The losses of the running epoch are looked through for NaN so often; each look waits for the device.
SECONDS_BETWEEN_CHECKS = 10


class DefaultTrainer(Remembering):
    """Trains by gradient descent and prunes whenever the criterion's plan says so.

    Each method is one step of it: a training scheme overrides the one that it does differently. What changes from epoch
    to epoch it keeps for `--resume` by `remembers`, or by `state_dict` and `load_state_dict`. Under torchrun several
    processes train the same network, each on its part of every batch.
    """

    remembers = (
        "events",
        "events_done",
        "step",
        "epoch",
        "cut_short",
        "collapsed",
        "training_flops",
        "seconds",
    )

    #: Of the flags that only some trainers read, those that this one does.
    reads: tuple[str, ...] = ()

    def __init__(self, run: Run) -> None:
        self.run = run
        self.arguments = flags = run.arguments
        self.network, self.masks, self.loss, self.criterion = run.network, run.masks, run.loss, run.criterion
        self.data = run.data
        self.events, self.epochs = dict(run.plan.events), run.plan.epochs
        self.optimizer = self.build_optimizer()
        self.rewinds = flags.enable_rewinding or self.criterion.in_levels
        #: Steps finished.
        self.step = 0
        self.begin_schedule()
        self._check_rewinding()
        if isinstance(self.optimizer, torch.optim.LBFGS) and flags.precision == "fp16":
            raise UserError("--optimizer LBFGS evaluates a step several times, which --precision fp16 cannot scale")
        self.forward = torch.compile(self.network) if flags.compile else self.network
        self.means = RunningMeans()
        #: Which share of the batch at hand this process has.
        self.share = 1.0
        #: Epochs finished.
        self.epoch = 0
        #: What the network as it is does on the held-out set, once that was measured.
        self.evaluation: Evaluation | None = None
        #: What rewinding goes back to, from when it was reached.
        self.snapshot: Snapshot | None = None
        self.events_done = 0
        #: Whether the last epoch ended before its last batch.
        self.cut_short = False
        self.collapsed: list[str] = []
        self.training_flops = self.flops = 0
        self.seconds = {"pruning": 0.0, "training": 0.0}
        self.started = self.checked = time.perf_counter()
        #: When the state was written last, if it was, and with how many epochs and pruning events done.
        self.saved: float | None = None
        self.saved_at = (0, 0)

    def _check_rewinding(self) -> None:
        flags = self.arguments
        first = min(self.events, default=None)
        if self.rewinds and first is not None and flags.rewind_to * len(self.data.train) > first:
            epoch = first // len(self.data.train)
            raise UserError(
                f"--rewind_to {flags.rewind_to} is after the first pruning event, which comes at epoch {epoch}"
            )

    def train(self) -> dict[str, object]:
        """Train and prune to the end; returns what goes to results.json.

        The last state stays: as `<Model>_finished`, or as `last` where the run was interrupted.
        """
        self.started = time.perf_counter()
        if self.run.resumed is not None:
            self.resume(self.run.resumed)
        try:
            while self.epoch < self.epochs and not self.out_of_time():
                self.prune_as_planned()
                self.save_state()
                self.train_epoch()
                self.epoch += 1
                self.conclude_epoch()
                self.save_state()
            if self.epoch == self.epochs:
                self.prune_as_planned()
        except BaseException as error:
            # After others, as a NaN, what is in memory is not worth keeping; an earlier `last` stays.
            if isinstance(error, LostProcessError) or not isinstance(error, UserError):
                self.masks.apply_to_weights()
                self.save("last", epoch=self.epoch)
            raise
        return self.conclude()

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network's parameters."""
        flags = self.arguments
        return build_optimizer(flags.optimizer, self.network.parameters(), flags.learning_rate, flags.l2_reg)

    def build_schedule(self, at: int = 0) -> LRScheduler:
        """Return the learning rate from step `at` of training on; with rewinding, training ends at the next event."""
        batches = len(self.data.train)
        ends = [step for step in self.events if step > self.step] if self.rewinds else []
        steps = at + min(ends, default=self.epochs * batches) - self.step
        return build_schedule(self.arguments.lr_schedule, self.optimizer, steps / batches, batches, at)

    def begin_schedule(self, at: int = 0) -> None:
        """Let the learning rate go on from step `at` of its schedule."""
        self.schedule_began = {"step": self.step, "at": at}
        self.schedule = self.build_schedule(at)

    def save_state(self) -> None:
        """Write `last`, and the state that `--resume` goes on from: the first, then one each `--save_minutes`."""
        now, here = time.perf_counter(), (self.epoch, self.events_done)
        is_due = self.saved is None or now - self.saved >= 60 * self.arguments.save_minutes
        if here == self.saved_at or not (is_due and self.run.writes):
            return
        self.save("last", epoch=self.epoch)
        observers: dict[str, Any] = {}
        self.run.hooks.state_wanted(run=self.run, state=observers)
        state = {
            "epoch": self.epoch,
            "seconds": now - self.started,
            "trainer": self.state_dict(),
            "criterion": self.criterion.state_dict(),
            "loss": self.loss.state_dict(),
            "notices": self.run.notices,
            "observers": observers,
            "random": random_state(self.run.device),
        }
        with self.run.telling():
            write_state(self.run.folder.state, state, epoch=self.epoch)
            self.saved, self.saved_at = time.perf_counter(), here

    def resume(self, state: dict[str, Any]) -> None:
        """Be as `save_state` has found this trainer and all that it works with."""
        self.started -= state["seconds"]
        self.saved, self.saved_at = time.perf_counter(), (state["epoch"], state["trainer"]["events_done"])
        self.load_state_dict(state["trainer"])
        self.criterion.load_state_dict(state["criterion"])
        self.loss.load_state_dict(state["loss"])
        self.run.notices[:] = dict.fromkeys([*state["notices"], *self.run.notices])
        self.run.hooks.run_resumed(run=self.run, state=state["observers"])
        set_random_state(state["random"], self.run.device)

    def state_dict(self) -> dict[str, Any]:
        """Return what changes in training: counters, network, masks, cuts, optimizer, learning rate, snapshot."""
        return {
            **super().state_dict(),
            "cuts": self.run.history,
            "network": self.network.state_dict(),
            "masks": self.masks.kept,
            "optimizer": self.optimizer.state_dict(),
            "schedule": {name: value for name, value in self.schedule.state_dict().items() if name != "lr_lambdas"},
            "schedule_began": self.schedule_began,
            "scaler": self.run.precision.scaler.state_dict(),
            "means": self.means.state_dict(),
            "snapshot": self.snapshot.state_dict() if self.snapshot else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take all that up again, in a trainer that has just been made."""
        began = state["schedule_began"]
        self.step = began["step"]
        self.begin_schedule(began["at"])  # while all events are still there
        super().load_state_dict({name: state[name] for name in super().state_dict()})
        replay(self.network, self.run.example, state["cuts"][len(self.run.history) :])
        self.run.history[:] = state["cuts"]
        self.network.load_state_dict(state["network"])
        self.masks.restore(state["masks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict({**state["schedule"], "lr_lambdas": [None]})
        self.run.precision.scaler.load_state_dict(state["scaler"])
        self.means.load_state_dict(state["means"])
        self.snapshot = Snapshot.of_state(state["snapshot"]) if state["snapshot"] else None

    def prune_as_planned(self) -> None:
        """Prune as far as the plan says for this moment, after saving what there was."""
        if self.rewinds and self.step == self.arguments.rewind_to * len(self.data.train) and self.snapshot is None:
            self.snapshot = Snapshot(self.network, self.optimizer)
        sparsities = self.events.pop(self.step, [])
        if not sparsities:
            return
        if self.step % len(self.data.train) == 0:
            self.save(f"{self.run.model_name}_epoch_{self.epoch}", epoch=self.epoch)
        draw_alike(self.run.device)
        for number, sparsity in enumerate(sparsities, start=1):
            self.events_done += 1
            # Each event looks at batches of its own, from an epoch that training does not see.
            batches = itertools.islice(self.data.train.epoch(-self.events_done), self.arguments.saliency_batches)
            last = not self.events and number == len(sparsities)
            event = self.criterion.prune(sparsity, batches, self.epoch, last)
            self.follow(event)
            check_same_pruning(self.masks, event.history)
            for name, grown in event.grown.items():
                forget(self.optimizer, self.masks.weights[name], grown)
            self.seconds["pruning"] += event.seconds
            self.collapsed += [name for name in event.collapsed if name not in self.collapsed]
            self.run.hooks.pruned(run=self.run, event=event)
            for notice in event.notices:
                self.notify(notice)
        if last and self.arguments.reinitialise:
            fresh = self.run.fresh_network(self.arguments.seed + 1).to(self.run.device)
            replay(fresh, self.run.example, self.run.history)
            self.start_again(Snapshot(fresh), at=0)
        elif self.rewinds:
            self.start_again(self.snapshot, at=self.arguments.rewind_to * len(self.data.train))
        draw_apart(self.arguments.seed, f"step {self.step}")
        self.evaluation = None
        self.flops = self.run.flops.effective(self.run.sparsity().densities)

    def notify(self, notice: str) -> None:
        """Tell the user something once, and keep it in results.json."""
        if notice not in self.run.notices:
            self.run.notices.append(notice)
            self.run.log.warning(notice)

    def follow(self, event: PruningEvent) -> None:
        """Cut along what belongs to parameters that have lost channels, and keep a record of the cuts."""
        if not event.cuts:
            return
        self.run.history.append(event.history)
        parameters = dict(self.network.named_parameters())
        if remembers_all_in_one(self.optimizer):
            begin_anew(self.optimizer)
            if self.snapshot:
                self.snapshot.forget_optimizer()
            self.notify(f"--optimizer {self.arguments.optimizer} begins anew whenever channels are removed")
        for name, places in event.cuts.items():
            if moments := self.optimizer.state.get(parameters.get(name)):
                cut_moments(moments, places)
        if self.snapshot:
            names = {parameter: name for name, parameter in parameters.items()}
            order = [names[parameter] for group in self.optimizer.param_groups for parameter in group["params"]]
            self.snapshot.cut(event.cuts, order)

    def start_again(self, snapshot: Snapshot, at: int) -> None:
        """Go back to a snapshot, under the masks of now, and to step `at` of the learning-rate schedule."""
        if self.arguments.rewind_weights_only:
            snapshot.restore_weights(self.masks.weights)
        else:
            snapshot.restore(self.network, self.optimizer)
            self.begin_schedule(at)
        self.masks.apply_to_weights()

    def train_epoch(self) -> None:
        """One pass over the training set."""
        self.means.reset()
        self.network.train()
        self.evaluation = None
        start = time.perf_counter()
        self.flops = self.run.flops.effective(self.run.sparsity().densities)
        draw_apart(self.arguments.seed, f"epoch {self.epoch}")
        sizes = self.data.train.sizes
        batches = len(sizes)
        for number, (inputs, targets) in enumerate(self.data.train.shared().epoch(self.epoch)):
            if self.arguments.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            if number and self.step in self.events:
                self.prune_as_planned()
            self.share = len(targets) / sizes[number]
            self.train_batch(inputs, targets)
            self.schedule.step()
            self.step += 1
            self.training_flops += TRAINING_FACTOR * self.flops * sizes[number]
            self.run.hooks.batch_finished(
                run=self.run, epoch=self.epoch, batch=number, batches=batches, means=self.means
            )
            now = time.perf_counter()
            if now - self.checked > SECONDS_BETWEEN_CHECKS:
                self.check_numbers()
                self.checked = now
            if self.out_of_time():
                self.cut_short = number + 1 < batches
                break
        self.means.join()
        self.check_numbers()
        check_same_weights(self.network)
        self.epoch_seconds = time.perf_counter() - start
        self.seconds["training"] += self.epoch_seconds

    def train_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """One step of the optimizer on inputs (B, C, H, W) and targets (B,)."""

        seen = []

        def gradients() -> Tensor:
            self.optimizer.zero_grad()
            with joint_batch_norm():
                loss, logits = self.compute_loss(inputs, targets)
            loss = loss if self.share == 1 else self.share * loss
            self.run.precision.scaler.scale(loss).backward()
            loss = self.sum_over_processes(loss)
            self.run.precision.scaler.unscale_(self.optimizer)
            self.criterion.after_backward()
            self.adjust_gradients()
            seen.append((loss, logits))
            return loss

        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer.step(gradients)  # evaluates the gradients several times a step
        else:
            gradients()
            self.run.precision.scaler.step(self.optimizer)
        self.run.precision.scaler.update()
        self.masks.apply_to_weights()
        self.means.add(*seen[0], targets)

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is minimised, a scalar, and the logits (B, K)."""
        with self.run.precision.autocast():
            logits = self.forward(inputs)
            loss = self.loss(logits, targets)
        penalty = self.loss.penalty()
        return (loss if penalty is None else loss + penalty), logits

    def sum_over_processes(self, loss: Tensor) -> Tensor:
        """Give all processes the gradients of the whole batch; each has those of its share of the loss, a scalar.

        Returns the loss of the whole batch.
        """
        if size() == 1:
            return loss
        whole = loss.detach().clone()
        parameters = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        sum_over_processes([*(weight.grad for weight in parameters if weight.grad is not None), whole])
        return whole

    def adjust_gradients(self) -> None:
        """Weight decay where the optimizer has none; then masks, clipping and noise."""
        groups = self.optimizer.param_groups  # to walk the network's modules at every batch would take longer
        parameters = [weight for group in groups for weight in group["params"] if weight.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        if self.arguments.l2_reg and not decays_weights(self.optimizer):
            with torch.no_grad():
                torch._foreach_add_(gradients, parameters, alpha=self.arguments.l2_reg)
        self.masks.apply_to_gradients()
        if self.arguments.grad_clip:
            clip_norm(gradients, self.arguments.grad_clip)
        if self.arguments.grad_noise:
            noise = [torch.randn_like(gradient) for gradient in gradients]
            take_from_first(noise)
            torch._foreach_add_(gradients, noise, alpha=self.arguments.grad_noise)
            self.masks.apply_to_gradients()

    def check_numbers(self) -> None:
        """Stop the run where a loss of this epoch, or a parameter by now, is NaN or infinite."""
        batch = self.means.first_bad_batch()
        what = f"the loss became NaN or infinite in epoch {self.epoch + 1}, batch {(batch or 0) + 1}"
        if batch is None:
            norms = torch.stack(torch._foreach_norm([parameter.detach() for parameter in self.network.parameters()]))
            if norms.isfinite().all():
                return
            what = f"weights became NaN or infinite in epoch {self.epoch + 1}, by batch {self.means.batches}"
        saved = sorted(self.run.folder.models.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        good = f"the last good checkpoint is {saved[-1].with_suffix('')}" if saved else "no epoch was finished before"
        rate = self.arguments.learning_rate
        raise UserError(
            f"{what}: try a smaller --learning_rate (it is {rate:g}) or --grad_clip, or --precision float32; {good}"
        )

    def conclude_epoch(self) -> None:
        """Evaluate, report and save as often as the flags say."""
        flags = self.arguments
        if flags.eval_freq and self.epoch % flags.eval_freq == 0:
            self.evaluate()
        self.run.hooks.epoch_finished(run=self.run, figures=self.figures())
        if flags.save_freq and self.epoch % flags.save_freq == 0:
            self.save(f"{self.run.model_name}_epoch_{self.epoch}", epoch=self.epoch)

    def save(self, name: str, **facts: object) -> None:
        """Write the checkpoint `name`, with `facts` in its json."""
        self.run.save(name, **facts)

    def evaluate(self) -> Evaluation:
        """Judge the network on the held-out set."""
        start = time.perf_counter()
        self.evaluation = evaluate(
            self.network, self.loss, self.data.held_out.shared(), self.data.num_classes, self.run.precision.autocast
        )
        self.seconds["testing"] = time.perf_counter() - start  # the last time, over the whole set
        self.run.hooks.evaluated(run=self.run, evaluation=self.evaluation)
        return self.evaluation

    def figures(self) -> dict[str, object]:
        """Return the epoch's row of metrics.csv."""
        means, sparsity = self.means.read(), self.run.sparsity()
        held_out = self.data.held_out_name
        judged = self.evaluation
        return {
            "epoch": self.epoch,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": means["loss"],
            "train_accuracy": means["accuracy"],
            f"{held_out}_loss": judged.loss if judged else None,
            f"{held_out}_accuracy": judged.accuracy if judged else None,
            "weight_sparsity": sparsity.weight_sparsity,
            "node_sparsity": sparsity.node_sparsity,
            "seconds_training": self.seconds["training"],
            "samples_per_second": self.means.samples / self.epoch_seconds,
        }

    def out_of_time(self) -> bool:
        """Whether `--max_training_minutes` have passed."""
        minutes = self.arguments.max_training_minutes
        return minutes > 0 and from_first(lambda: minutes < (time.perf_counter() - self.started) / 60)

    def conclude(self) -> dict[str, object]:
        """Judge the network a last time, keep it as `<Model>_finished` and `_compact`, and return the results."""
        if self.events or self.cut_short or self.epoch < self.epochs:
            notice = f"stopped by --max_training_minutes in epoch {self.epoch} of {self.epochs}"
            left = sum(map(len, self.events.values()))
            notice += f", with {left} pruning event{'s' if left > 1 else ''} still to come" if left else ""
            self.notify(notice)
        results = self.results()
        self.save(f"{self.run.model_name}_finished", epoch=self.epoch, figures=results)
        if self.run.writes:
            for leftover in self.run.folder.models.glob("last.*"):
                with self.run.telling():  # of a disk that is read-only by now: the network can go elsewhere
                    leftover.unlink()
        results["compact"] = save_compact(self.run, self.epoch)
        return results

    def results(self) -> dict[str, object]:
        """Return the figures of the run, for results.json and the finished checkpoint."""
        return {
            **network_figures(self.run, self.evaluation or self.evaluate()),
            "train_accuracy": self.means.read()["accuracy"] if self.means.samples else None,
            "train_loss": self.means.read()["loss"] if self.means.samples else None,
            "epochs": self.epoch,
            "flops_training_total": self.training_flops,
            "seconds_pruning": self.seconds["pruning"],
            "seconds_training": self.seconds["training"],
            "seconds_testing": self.seconds.get("testing"),
            "collapsed_layers": self.collapsed,
        }
