"""Progress on the terminal: a live line where there is a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich import box
from rich.table import Table as RichTable

from secateur.hooks import hookimpl
from secateur.measuring.evaluation import Evaluation
from secateur.measuring.sparsity import shown_left, shown_share
from secateur.observers.live import LiveBars, TerminalLog
from secateur.pruning.plan import PruningStep
from secateur.pruning.selection import count_true
from secateur.runs.log import StreamLog, escape_commands
from secateur.runs.run import Run
from secateur.training.means import RunningMeans
from secateur.utils.tables import Table
from secateur.utils.terminal import Terminal

#: The live line is renewed so often; each time waits for the device.
SECONDS_BETWEEN_LOOKS = 0.5
#: Beyond so many pruning steps not each has a line, but one so often, and the last.
MANY_STEPS, SECONDS_BETWEEN_STEPS = 20, 5

#: The closing table: what is shown of the results, under which name, in which form.
CLOSING = [
    ("test_accuracy", "test accuracy", "{:.2%}"),
    ("validation_accuracy", "validation accuracy", "{:.2%}"),
    ("train_accuracy", "train accuracy", "{:.2%}"),
    ("test_loss", "test loss", "{:.4f}"),
    ("validation_loss", "validation loss", "{:.4f}"),
    ("weight_sparsity", "weight sparsity", "{:.2%}"),
    ("node_sparsity", "unit sparsity", "{:.2%}"),
    ("best_epoch", "best epoch, which is kept", "{}"),
]


class Console:
    """Tells a person how the run goes, and keeps the same lines in log.txt."""

    def __init__(self) -> None:
        self.terminal = Terminal(width=120)
        self.live: LiveBars | None = None
        self.sparsity = 0.0
        self.held_out = ""
        self.steps, self.told = 0, 0.0

    @hookimpl(tryfirst=True)
    def run_started(self, run: Run) -> None:
        """Say what will be done, and open the live line."""
        handler = TerminalLog(self.terminal) if self.terminal.is_terminal else StreamLog(sys.stdout)
        handler.addFilter(escape_commands)
        run.log.addHandler(handler)
        spec = run.model_spec
        shape = "x".join(map(str, run.data.input_shape))
        run.log.info(f"run folder: {run.folder.path}")
        parameters = sum(parameter.numel() for parameter in run.network.parameters())
        sparsity = run.sparsity()
        flops = shown_left(run.flops.effective(sparsity.densities), run.flops.total, sparsity.weight_sparsity)
        cost = f"{flops} FLOPs a sample" + (", effective" if " of " in flops else "")
        run.log.info(
            f"{spec['model']}, {parameters:,} parameters, {cost}; "
            f"{spec['data_set']} as {shape}, {len(run.data.train.images):,} training and "
            f"{len(run.data.held_out.images):,} {run.data.held_out_name} images; {run.device}, {run.machine.precision}"
        )
        if not run.checkpointing.eval:
            epochs = run.plan.epochs
            steps = sum(map(len, run.plan.pruning_steps.values()))
            target = f"to sparsity {shown_share(run.criterion.limit)}" if run.criterion.has_limit else "by a threshold"
            target = f"to {', '.join(run.criterion.target)}" if run.criterion.target else target
            pruning = f"{_counted(steps, 'pruning step')} {target}" if steps else "no pruning"
            run.log.info(
                f"{type(run.criterion).__name__}, {pruning}; {_counted(epochs, 'epoch')}, seed {run.options.seed}"
            )
            if self.terminal.is_terminal and (epochs or steps):
                self.live = LiveBars(self.terminal, epochs * len(run.data.train), steps)
                if run.plan.pruning_steps.get(0):
                    self.live.prune(0)
        self.looked = self.started = time.perf_counter()
        self.samples = 0

    @hookimpl
    def on_save_state(self, state: dict[str, Any]) -> None:
        """Keep how many pruning steps there were."""
        state["Console"] = self.steps

    @hookimpl
    def run_resumed(self, run: Run, state: dict[str, Any]) -> None:
        """Say from where it goes on."""
        self.steps, self.sparsity = state["Console"], run.sparsity().weight_sparsity
        epoch = run.resumed["epoch"]
        self.samples = epoch * len(run.data.train.images)
        if self.live is not None:
            self.live.train(epoch * len(run.data.train), epoch)
        run.log.info(f"continues after {_counted(epoch, 'epoch')} of {run.plan.epochs}")

    @hookimpl
    def batch_finished(self, run: Run, epoch: int, batch: int, batches: int, means: RunningMeans) -> None:
        """Renew the live line, twice a second at the most, and where pruning comes next."""
        if self.live is None:
            return
        prunes = epoch * batches + batch + 1 in run.plan.pruning_steps
        now = time.perf_counter()
        if now - self.looked < SECONDS_BETWEEN_LOOKS and not prunes:
            return
        samples = epoch * len(run.data.train.images) + means.samples
        speed = (samples - self.samples) / max(now - self.looked, 1e-9)
        self.looked, self.samples = now, samples
        seen = means.read()
        figures = [
            f"loss {seen['loss']:.4f}",
            f"accuracy {seen['accuracy']:.1%}{self.held_out}",
            f"sparsity {shown_share(self.sparsity, '%')}",
            f"{speed:,.0f} samples/s",
        ]
        self.live.train(epoch * batches + batch + 1, epoch + 1, figures)
        if prunes:
            self.live.prune(self.steps)

    @hookimpl
    def pruned(self, run: Run, step: PruningStep) -> None:
        """Say what went, and warn of layers that have nothing left."""
        self.sparsity = run.sparsity().weight_sparsity
        self.steps += 1
        if self.live is not None:
            self.live.prune(self.steps)
        now, planned = time.perf_counter(), sum(map(len, run.plan.pruning_steps.values()))
        if planned <= MANY_STEPS or self.steps == planned or now - self.told > SECONDS_BETWEEN_STEPS:
            self.told = now
            number = f"pruning step {self.steps} of {planned}: " if planned > MANY_STEPS else ""
            parts = [step.weights, step] if step.weights else [step]
            run.log.info(f"{number}pruned to {', '.join(map(_what_is_left, parts))} ({step.seconds:.2f} s)")
        for repair in step.repairs:
            run.log.info(str(repair))
        for name in step.collapsed:
            run.log.warning(
                f"LAYER COLLAPSE: {name} has lost its last weight; the network can no longer use its inputs"
            )

    @hookimpl
    def evaluated(self, run: Run, evaluation: Evaluation) -> None:
        """Keep the accuracy for the live line."""
        self.held_out = f" ({run.data.held_out_name} {evaluation.accuracy:.1%})"

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """One line an epoch, which a narrow terminal has without what fits least."""
        if self.live is not None:
            self.live.train(figures["epoch"] * len(run.data.train), figures["epoch"])
        names = [
            name
            for name in dict.fromkeys(("train", "validation", run.data.held_out_name))
            if figures.get(f"{name}_accuracy") is not None
        ]
        short = [f"{name} accuracy {figures[f'{name}_accuracy']:.2%}" for name in names]
        whole = [
            one.replace(name, f"{name} loss {figures[f'{name}_loss']:.4f}")
            for name, one in zip(names, short, strict=True)
        ]
        sparsity = f"sparsity {shown_share(figures['weight_sparsity'], '%')}"
        speed = f"{figures['samples_per_second']:,.0f} samples/s"
        forms = [[*whole, sparsity, speed], [*whole, sparsity], [*short, sparsity, speed], [*short, sparsity], short]
        line, *shorter = [" · ".join([f"epoch {figures['epoch']:>3}", *form]) for form in (*forms, short[-1:])]
        run.log.info(line, extra={"shorter": shorter})

    @hookimpl
    def table_created(self, run: Run, table: Table) -> None:
        """Show a tester's table."""
        shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in table.columns:
            text = any(isinstance(row.get(column), str) for row in table.rows)
            shown.add_column(column, justify="left" if text else "right", overflow="fold")
        for row in table.rows:
            shown.add_row(*table.shown(row))
        self.terminal.print(shown)

    @hookimpl
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """The closing table."""
        self._close()
        table = RichTable(title=f"{results['model']} on {results['data_set']}", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for key, label, form in CLOSING:
            if results.get(key) is not None:
                table.add_row(label, form.format(results[key]))
        pruned = results["weight_sparsity"]
        for label, dense, left in (
            ("parameters kept", results["parameters_dense"], results["parameters_kept"]),
            ("FLOPs a sample, effective", results["flops_dense"], results["flops_effective"]),
        ):
            table.add_row(label, shown_left(left, dense, pruned))
        if left := results.get("compact"):
            table.add_row("compacted to", f"{left['parameters']:,} parameters, {left['flops']:,} FLOPs a sample")
        for row in _latency_row(results):
            table.add_row(*row)
        if size := results.get("checkpoint_bytes"):
            table.add_row("checkpoint on disk", f"{size:,} bytes")
        if "epochs" in results:
            seconds = f"{results['seconds_training']:.1f} s training, {results['seconds_pruning']:.1f} s pruning"
            table.add_row("time", f"{seconds} ({_counted(results['epochs'], 'epoch')})")
        table.add_row("run folder", str(run.folder.path))
        self.terminal.print(table)

    @hookimpl
    def run_failed(self, run: Run, error: BaseException) -> None:
        """Say where the rest lies."""
        self._close()
        if isinstance(error, BrokenPipeError):
            return  # nobody reads what is written here
        run.log.error(f"the run stopped early; what it computed is in {run.folder.path}")

    def _close(self) -> None:
        if self.live is not None:
            self.live.close()


def _what_is_left(step: PruningStep) -> str:
    regrown = sum(map(count_true, step.regrown.values()))
    return (
        f"{shown_share(1 - step.kept / step.candidates)}: {step.kept:,} of {step.candidates:,} prunable "
        f"{step.unit} kept{f', {regrown:,} of them regrown' if regrown else ''}"
    )


def _latency_row(results: dict[str, object]) -> list[tuple[str, str]]:
    """The latency, where it was measured, with how many times as long the dense network takes."""
    told = []
    for size in (1, 64):
        now, dense = (results.get(f"{kind}_batch_{size}") for kind in ("latency_ms", "latency_dense_ms"))
        if now and dense:
            told.append(f"{now:.2f} of {dense:.2f} ms for {_counted(size, 'image')} ({dense / now:.1f} x)")
    return [("latency", ", ".join(told))] if told else []


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
