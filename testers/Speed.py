"""What pruning is worth by the clock."""

import torch

from secateur.config.option import option
from secateur.measuring.charts.speed import speed
from secateur.measuring.latency import dense_network, latencies
from secateur.runs.checkpoint_metadata import Checkpoint, beside
from secateur.runs.run import Run
from secateur.testers.DefaultTester import DefaultTester
from secateur.utils.tables import Table

FORMS = {
    "batch_ms": "{:,.3f}",
    "images_per_second": "{:,.0f}",
    "times_as_fast": "{:.2f}",
    "flops_ratio": "{:.2f}",
    "realised": "{:.0%}",
}


class Speed(DefaultTester):
    """Latency and throughput of each network beside the dense one, in evaluation mode, on random images.

    The networks take turns, so that whatever else the machine does meets all of them; the figures are medians. Ratios
    are of the dense network's time to the network's own: 2 is twice as fast. Beside them stand the ratio of the dense
    FLOPs to those of the weights that are not zero, and the share of it that is realised. A network that was pruned by
    masks computes its zeros like any other weight and gains nothing until its idle channels are removed, or with
    `--execution auto` or `sparse`. The dense network is
    an untrained one: on CPUs max pooling takes longer on its activations, of which fewer are zero, so that a trained
    dense network in the comparison is the fairer measure where there is one.
    """

    speed_batch_sizes: list[int] = option([1, 8, 64, 256], "images at a time", low=1, high=1_000_000, metavar="N,N")
    speed_seconds: float = option(
        1.0, "measure each network so long at each batch size", low=0, above=True, metavar="SECONDS"
    )

    def evaluate(self) -> dict[str, object]:
        """Measure the networks in turn, tabulate and draw; adds `speed` to the results, by network and batch size."""
        run = self.run
        results = super().evaluate()
        # A file of another project brings no masks.
        for (label, one), checkpoint in zip(run.compared.items(), run.settings.checkpoints, strict=False):
            if notice := _without_gain(label, one, checkpoint):
                run.notify(notice)
        dense_of = {label: _dense_name(one) for label, one in run.compared.items()}
        dense = {dense_of[label]: one for label, one in run.compared.items()}
        networks = {label: dense_network(one) for label, one in dense.items()}
        networks |= {label: one.executed for label, one in run.compared.items()}
        budget = self.speed_seconds * len(networks)
        measured = latencies(run, networks, self.speed_batch_sizes, budget)
        fewer = {label: one.flops.total / max(1, network_flops(one)) for label, one in run.compared.items()}
        rows = []
        for label in networks:
            for size, taken in measured.items():
                milliseconds = taken[label]
                known = milliseconds is not None
                faster = taken[dense_of.get(label, label)] / milliseconds if known else None
                ratio = fewer.get(label, 1.0)
                rows.append(
                    {
                        "network": label,
                        "batch_size": size,
                        "batch_ms": milliseconds,
                        "images_per_second": 1000 * size / milliseconds if known else None,
                        "times_as_fast": faster,
                        "flops_ratio": ratio,
                        "realised": faster / ratio if known else None,
                    }
                )
        shape = "x".join(map(str, run.data.input_shape))
        count = torch.get_num_threads()
        threads = f", {count} thread{'s' if count > 1 else ''}" if run.device.type == "cpu" else ""
        title = f"speed on {run.device}{threads}, {run.machine.precision}, images of {shape}"
        run.hooks.table_created(run=run, table=Table("speed", title, rows, FORMS))
        speed(rows, set(dense), title, run.folder.output / "speed.png")
        return {**results, "threads": count, "speed": rows}


def network_flops(run: Run) -> int:
    """Operations of the weights that are not zero, of one image."""
    return run.flops.effective(run.sparsity().densities)


def _dense_name(run: Run) -> str:
    """A name for the dense network that no run can have: a comma would separate two."""
    options = (f"{name} {value}" for name, value in run.model_spec["options"].items())
    return ", ".join([run.model_spec["model"], *options, "dense"])


def _without_gain(label: str, run: Run, checkpoint: Checkpoint) -> str | None:
    """What to say of a network whose zeros are still computed, and where it is without them."""
    compact = checkpoint.path.with_name(f"{run.model_name}_compact")
    if not run.masks.kept or run.machine.execution != "dense" or checkpoint.path == compact:
        return None
    there = beside(compact, ".json").exists()
    instead = f": --checkpoint_model {compact.name} is the same function without the channels they leave idle"
    zeros = "computes the zeros of its masks like other weights and gains no time by them, without --execution auto"
    return f"{label} {zeros}{instead * there}"
