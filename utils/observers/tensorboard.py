"""TensorBoard event files in progress/."""

import warnings

import torch
from torch.utils.tensorboard import SummaryWriter

from utils.hooks import hookimpl
from utils.modes import evaluation_mode
from utils.run.run import Run

HISTOGRAM_BINS = 64


class TensorBoard:
    """Scalars an epoch; weight histograms and per-layer sparsity whenever they have jumped; the network's graph."""

    @hookimpl
    def run_started(self, run: Run) -> None:
        """Open the event file and draw the network."""
        self.writer = SummaryWriter(str(run.folder.progress))
        if not run.arguments.disable_netplot:
            self._graph(run)
        self._weights(run, 0)
        self.pruned_since = False

    @hookimpl
    def epoch_finished(self, run: Run, figures: dict[str, float]) -> None:
        """Write every figure of the epoch."""
        for name, value in figures.items():
            if value is not None and name != "epoch":
                self.writer.add_scalar(name, value, figures["epoch"])
        if self.pruned_since:
            self._weights(run, figures["epoch"])
            self.pruned_since = False

    @hookimpl
    def pruned(self) -> None:
        """Remember to write the weights after the epoch: an event is often one of several in a row."""
        self.pruned_since = True

    @hookimpl
    def run_finished(self, run: Run, results: dict[str, object]) -> None:
        """Write the final weights and close the file."""
        self._weights(run, results.get("epochs", 0))
        self.writer.close()

    @hookimpl
    def run_failed(self) -> None:
        """Leave what there is on disk."""
        if hasattr(self, "writer"):
            self.writer.close()

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
        if run.arguments.disable_histograms:
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
