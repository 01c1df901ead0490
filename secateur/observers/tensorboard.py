"""TensorBoard event files in progress/."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from secateur.config.option import Configurable, option
from secateur.config.settings import Settings
from secateur.hooks import hookimpl
from secateur.runs.run import Run
from secateur.utils.drawing import small_map
from secateur.utils.modes import evaluation_mode

HISTOGRAM_BINS = 64
#: A picture of a mask has no more pixels a side; of more layers none is drawn.
MASK_SIZE, MOST_MASKS = 64, 40
#: Columns of the table of hyperparameters, beside the flags that were typed: settings, and results.
ALWAYS = ("model", "data_set", "prune_criterion", "pruning_limit", "epochs", "batch_size", "learning_rate", "seed")
RESULTS = ("test_accuracy", "validation_accuracy", "test_loss", "weight_sparsity", "node_sparsity", "flops_effective")


class TensorBoard(Configurable):
    """Scalars an epoch; sparsity, weights and mask of each layer whenever they have jumped; the network's graph.

    At the end the settings with the results, for the tab HPARAMS, and the pictures of output/.
    """

    title = "pictures and statistics"

    disable_histograms: bool = option(False, "no weight histograms in TensorBoard", changes_numbers=False, smoke=True)
    disable_netplot: bool = option(
        False,
        "no picture of what is left of each layer, and no network graph in TensorBoard",
        changes_numbers=False,
        smoke=True,
    )
    disable_weightplot: bool = option(
        False, "no picture of the weights, and none of the masks in TensorBoard", changes_numbers=False, smoke=True
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.writer: SummaryWriter | None = None
        self.pruned_since = False

    @hookimpl
    def run_started(self, run: Run) -> None:
        """Open the event file and draw the network."""
        if run.resumed is not None:  # what there is of later epochs will be written again
            self._write(run, lambda: None, purge_step=run.resumed["epoch"] + 1)
        else:
            self._write(run, lambda: self._beginning(run), purge_step=0 if run.settings.resume else None)

    @hookimpl
    def on_save_state(self, state: dict[str, Any]) -> None:
        """Keep whether the weights have jumped."""
        state["TensorBoard"] = self.pruned_since

    @hookimpl
    def run_resumed(self, state: dict[str, Any]) -> None:
        """Take that up again."""
        self.pruned_since = state["TensorBoard"]

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Write every figure of the epoch."""
        self._write(run, lambda: self._epoch(run, figures))

    @hookimpl
    def pruned(self) -> None:
        """Remember to write the weights after the epoch: an event is often one of several in a row."""
        self.pruned_since = True

    @hookimpl(trylast=True)
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """Write the final weights, the settings and, as all are drawn by now, the pictures; close the file."""

        def finish() -> None:
            epochs = results.get("epochs", 0)
            self._weights(run, epochs)
            self._settings(run.settings, results)
            for path in sorted(run.folder.output.glob("*.png")):
                self._picture(path, epochs)
            self.writer.close()

        self._write(run, finish)

    @hookimpl
    def run_failed(self) -> None:
        """Leave what there is on disk."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, run: Run, write: Callable[[], None], purge_step: int | None = None) -> None:
        """Write by the writer; one that has met a disk error writes no more, and the next time has a new one."""
        try:
            if self.writer is None:
                self.writer = SummaryWriter(str(run.folder.progress), purge_step=purge_step)
            write()
        except OSError:
            self.writer = None
            raise

    def _beginning(self, run: Run) -> None:
        if not self.disable_netplot:
            self._graph(run)
        self._weights(run, 0)

    def _epoch(self, run: Run, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            if value is not None and name != "epoch":
                self.writer.add_scalar(name, value, figures["epoch"])
        if self.pruned_since:
            self._weights(run, figures["epoch"])
            self.pruned_since = False

    def _graph(self, run: Run) -> None:
        try:
            with evaluation_mode(run.network), warnings.catch_warnings():
                # Tracing warns of every shape in Python that a network looks at; the graph is only looked at.
                warnings.simplefilter("ignore")
                self.writer.add_graph(run.network, run.example)
        except Exception as error:  # a network that cannot be traced is trained all the same
            run.log.info(f"TensorBoard has no graph of {run.model_name}: {type(error).__name__}")

    def _weights(self, run: Run, epoch: int) -> None:
        for name, density in run.sparsity().densities.items():
            self.writer.add_scalar(f"sparsity/{name}", 1 - density, epoch)
        if not self.disable_weightplot and len(run.masks.kept) <= MOST_MASKS:
            for name, kept in run.masks.kept.items():
                shares = small_map(kept.float(), MASK_SIZE)
                self.writer.add_image(f"kept/{name}", shares / shares.max().clamp(min=1e-9), epoch, dataformats="HW")
        if self.disable_histograms:
            return
        for name, weight in run.masks.weights.items():
            # Binned by torch: TensorBoard's own histogram sorts every weight.
            values = weight.detach().float().cpu()
            counts = torch.histc(values, HISTOGRAM_BINS)
            low, high = float(values.min()), float(values.max())
            limits = torch.linspace(low, high, HISTOGRAM_BINS + 1)[1:].tolist()
            self.writer.add_histogram_raw(
                f"weights/{name}",
                min=low,
                max=high,
                num=values.numel(),
                sum=float(values.sum()),
                sum_squares=float(values.square().sum()),
                bucket_limits=limits,
                bucket_counts=counts.tolist(),
                global_step=epoch,
            )

    def _settings(self, settings: Settings, results: dict[str, object]) -> None:
        """A row of the table of hyperparameters: what was typed, and what came of it."""
        from torch.utils.tensorboard.summary import hparams

        typed = [
            flag
            for flag in sorted(settings.given)
            if settings.declared[flag].option.changes_numbers and not settings.declared[flag].option.is_path
        ]
        values = {flag: settings[flag] for flag in dict.fromkeys((*ALWAYS, *typed)) if flag in settings.values}
        plain = {flag: one if isinstance(one, bool | int | float | str) else str(one) for flag, one in values.items()}
        found = {f"results/{name}": results[name] for name in RESULTS if results.get(name) is not None}
        for summary in hparams(plain, found):
            self.writer.file_writer.add_summary(summary)
        for name, value in found.items():
            self.writer.add_scalar(name, value, results.get("epochs", 0))

    def _picture(self, path: Path, epoch: int) -> None:
        """A PNG file, as it is."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = path.read_bytes()
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))  # of its header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"output/{path.stem}", image=image)
        self.writer.file_writer.add_summary(Summary(value=[value]), epoch)
