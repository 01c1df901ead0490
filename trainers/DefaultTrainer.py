"""The usual way to train, and to prune before, during or after it."""

from __future__ import annotations

import contextlib
import time

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from secateur.measuring.evaluation import Evaluation, evaluate
from secateur.measuring.flops import TRAINING_FACTOR
from secateur.measuring.sparsity import epoch_figures, training_results
from secateur.parallel import collectives
from secateur.parallel.batch_norm import joint_batch_norm
from secateur.parallel.collectives import LostProcessError, fork_rng, size, sum_gradients, sync_rng
from secateur.pruning.plan import PruningStep
from secateur.runs.compact import save_compact
from secateur.runs.run import Run
from secateur.training.best import BestNetwork
from secateur.training.growing_images import growing_images
from secateur.training.lookahead import Lookahead
from secateur.training.means import RunningMeans, check_numbers
from secateur.training.optimizers import build_optimizer, build_schedule, clip_norm, decays_weights
from secateur.training.options import TrainingOptions
from secateur.training.resumable import Resumable
from secateur.training.rewinding import check_rewinding
from secateur.utils.errors import UserError

#: The losses of the running epoch are looked through for NaN so often; each look waits for the device.
SECONDS_BETWEEN_CHECKS = 10


class DefaultTrainer(TrainingOptions, Resumable):
    """Trains by gradient descent and prunes whenever the criterion's plan says so.

    Each method is one step of it: a training scheme overrides the one that it does differently. Under torchrun several
    processes train the same network, each on its part of every batch.
    """

    #: Flags of pruning that this trainer reads itself.
    reads: tuple[str, ...] = ()

    def __init__(self, run: Run) -> None:
        super().__init__(**run.settings.options_for(type(self)))
        self.run, self.pruner = run, run.pruner
        self.network, self.masks, self.loss, self.criterion = run.network, run.masks, run.loss, run.criterion
        self.data = run.data
        #: Epochs of the whole run.
        self.total_epochs = self.pruner.plan.epochs
        self.optimizer = self.build_optimizer()
        self.pruner.optimizer, self.pruner.on_rewind = self.optimizer, self.begin_schedule
        self.pruner.on_step = self.pruned
        self.begin_schedule()
        if self.pruner.rewinds:
            check_rewinding(self.pruner)
        if isinstance(self.optimizer, torch.optim.LBFGS) and run.machine.precision == "fp16":
            raise UserError("--optimizer LBFGS evaluates a step several times, which --precision fp16 cannot scale")
        self.forward = torch.compile(self.network) if run.machine.compile else run.executed
        self.means = RunningMeans()
        self.best = BestNetwork(self) if self.keep_best else None
        self.slow = Lookahead(self.optimizer, self.lookahead) if self.lookahead else None
        self.growing = growing_images(self) if self.train_sizes else None
        #: Which fraction of the batch at hand this process has.
        self.fraction = 1.0
        #: Epochs finished.
        self.epoch = 0
        #: What the network as it is does on the held-out set, once that was measured.
        self.evaluation: Evaluation | None = None
        #: Whether the last epoch ended before its last batch.
        self.cut_short = False
        self.training_flops = self.flops = 0
        self.seconds = {"pruning": 0.0, "training": 0.0}
        self.started = self.checked = time.perf_counter()

    def train(self) -> dict[str, object]:
        """Train and prune to the end; returns what goes to results.json.

        The last state stays: as `<Model>_finished`, or as `last` where the run was interrupted.
        """
        self.started = time.perf_counter()
        if self.run.resumed is not None:
            self.resume(self.run.resumed)
        try:
            while self.epoch < self.total_epochs and not self.out_of_time():
                self.prune_as_planned()
                self.save_state()
                self.train_epoch()
                self.epoch += 1
                self.conclude_epoch()
                self.save_state()
            if self.epoch == self.total_epochs:
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
        return build_optimizer(self.optimizer_name, self.network.parameters(), self.learning_rate, self.l2_reg)

    def build_schedule(self, at: int = 0) -> LRScheduler:
        """Return the learning rate from step `at` on; with rewinding, training ends at the next pruning step."""
        batches, now = len(self.data.train), self.pruner.step
        ends = [step for step in self.pruner.pruning_steps if step > now] if self.pruner.rewinds else []
        steps = at + min(ends, default=self.total_epochs * batches) - now
        return build_schedule(self.lr_schedule, self.run.registry, self.optimizer, steps, batches, at)

    def begin_schedule(self, at: int = 0) -> None:
        """Let the learning rate go on from step `at` of its schedule."""
        self.schedule_began = {"step": self.pruner.step, "at": at}
        self.schedule = self.build_schedule(at)

    def prune_as_planned(self) -> None:
        """Prune as far as the plan says for this step of training, after saving what there was."""
        is_due = self.pruner.step in self.pruner.pruning_steps
        if is_due and self.pruner.step % len(self.data.train) == 0:
            self.save(f"{self.run.model_name}_epoch_{self.epoch}", epoch=self.epoch)
        if is_due:
            sync_rng(self.run.device)
        self.pruner.prune_as_planned()
        if is_due:
            fork_rng(self.run.options.seed, f"step {self.pruner.step}")
            self.evaluation = None
            self.count_flops()
            if self.slow:
                self.slow.restart()

    def count_flops(self) -> None:
        """Take in what an image of this epoch costs."""
        self.flops = self.run.flops.effective(self.run.sparsity().densities)
        if self.growing:
            self.flops = round(self.growing.cost(self.epoch) * self.flops)

    def pruned(self, step: PruningStep) -> None:
        """Take in what a pruning step did."""
        self.seconds["pruning"] += step.seconds
        self.run.hooks.pruned(run=self.run, step=step)
        for notice in step.notices:
            self.run.notify(notice)

    def train_epoch(self) -> None:
        """One pass over the training set."""
        self.means.reset()
        self.network.train()
        self.evaluation = None
        start = time.perf_counter()
        self.count_flops()
        fork_rng(self.run.options.seed, f"epoch {self.epoch}")
        sizes = self.data.train.sizes
        for number, (inputs, targets) in enumerate(self.data.train.shared().epoch(self.epoch)):
            if self.growing:
                inputs = self.growing.resized(inputs, self.epoch)
            if self.run.machine.channels_last:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            if number and self.pruner.step in self.pruner.pruning_steps:
                self.prune_as_planned()
            self.fraction = len(targets) / sizes[number]
            self.train_batch(inputs, targets)
            self.schedule.step()
            self.pruner.step += 1
            self.training_flops += TRAINING_FACTOR * self.flops * sizes[number]
            self.run.hooks.batch_finished(
                run=self.run, epoch=self.epoch, batch=number, batches=len(sizes), means=self.means
            )
            if time.perf_counter() - self.checked > SECONDS_BETWEEN_CHECKS:
                check_numbers(self)
                self.checked = time.perf_counter()
            if self.out_of_time():
                self.cut_short = number + 1 < len(sizes)
                break
        if self.slow:
            self.slow.meet()
            self.masks.apply_to_weights()
            self.slow.restart()
        self.means.join()
        check_numbers(self)
        collectives.check_same_weights(self.network)
        self.epoch_seconds = time.perf_counter() - start
        self.seconds["training"] += self.epoch_seconds

    def train_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """One step of the optimizer on inputs (B, C, H, W) and targets (B,)."""
        seen = []

        def gradients() -> Tensor:
            self.optimizer.zero_grad()
            with joint_batch_norm() if size() > 1 else contextlib.nullcontext():
                loss, logits = self.compute_loss(inputs, targets)
            loss = loss if self.fraction == 1 else self.fraction * loss
            self.run.precision.scaler.scale(loss).backward()
            loss = sum_gradients(self.optimizer, loss)
            self.run.precision.scaler.unscale_(self.optimizer)
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
            loss = self.loss.in_training(inputs, logits, targets)
        penalty = self.loss.penalty()
        return (loss if penalty is None else loss + penalty), logits

    def adjust_gradients(self) -> None:
        """Show the criterion the dense gradients; weight decay where the optimizer has none; masks, clipping, noise."""
        self.pruner.after_backward()
        groups = self.optimizer.param_groups  # to walk the network's modules at every batch would take longer
        parameters = [weight for group in groups for weight in group["params"] if weight.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        if self.l2_reg and not decays_weights(self.optimizer):
            with torch.no_grad():
                torch._foreach_add_(gradients, parameters, alpha=self.l2_reg)
        self.masks.apply_to_gradients()
        if self.grad_clip:
            clip_norm(gradients, self.grad_clip)
        if self.grad_noise:
            noise = [torch.randn_like(gradient) for gradient in gradients]
            collectives.broadcast_tensors(noise)
            torch._foreach_add_(gradients, noise, alpha=self.grad_noise)
            self.masks.apply_to_gradients()

    def conclude_epoch(self) -> None:
        """Evaluate, report and save as often as the options say."""
        if self.eval_freq and self.epoch % self.eval_freq == 0:
            self.evaluate()
        if self.best:
            self.best.epoch_finished()
        self.run.hooks.epoch_finished(run=self.run, figures=self.figures())
        if self.save_freq and self.epoch % self.save_freq == 0:
            self.save(f"{self.run.model_name}_epoch_{self.epoch}", epoch=self.epoch)

    def save(self, name: str, **metadata: object) -> None:
        """Write the checkpoint `name`, with `metadata` in its json."""
        self.run.save(name, **metadata)

    def evaluate(self) -> Evaluation:
        """Evaluate the network on the held-out set."""
        start = time.perf_counter()
        self.evaluation = evaluate(
            self.run.executed,
            self.loss,
            self.data.held_out.shared(),
            self.data.num_classes,
            self.run.precision.autocast,
        )
        self.seconds["testing"] = time.perf_counter() - start  # the last time, over the whole set
        self.run.hooks.evaluated(run=self.run, evaluation=self.evaluation)
        return self.evaluation

    def figures(self) -> dict[str, object]:
        """Return the epoch's row of metrics.csv."""
        return epoch_figures(self) | (self.best.figures() if self.best else {})

    def results(self) -> dict[str, object]:
        """Return the figures of the run, for results.json and the finished checkpoint."""
        return training_results(self) | (self.best.results() if self.best else {})

    def out_of_time(self) -> bool:
        """Whether `--max_training_minutes` have passed."""
        minutes = self.max_training_minutes
        return minutes > 0 and collectives.broadcast_from_rank0(
            lambda: minutes < (time.perf_counter() - self.started) / 60
        )

    def conclude(self) -> dict[str, object]:
        """Evaluate the network a last time, keep it as `<Model>_finished` and `_compact`, and return the results."""
        if self.best:
            self.best.restore()
        if not self.pruner.finished or self.cut_short or self.epoch < self.total_epochs:
            notice = f"stopped by --max_training_minutes in epoch {self.epoch} of {self.total_epochs}"
            left = sum(map(len, self.pruner.pruning_steps.values()))
            notice += f", with {left} pruning step{'s' if left > 1 else ''} still to come" if left else ""
            self.run.notify(notice)
        self.optimizer.zero_grad()  # copies of the network are made from here on: there is room for one more
        results = self.results()
        self.save(f"{self.run.model_name}_finished", epoch=self.epoch, figures=results)
        if self.run.is_main_process:
            for leftover in self.run.folder.models.glob("last.*"):
                with self.run.report_write_errors():  # of a disk that is read-only by now: the network can go elsewhere
                    leftover.unlink()
        results["compact"] = None if self.run.options.no_compact else save_compact(self.run, self.epoch)
        return results
