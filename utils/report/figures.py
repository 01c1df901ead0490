"""Draws the groups of a report. Every line keeps its colour and marker through all figures; error bars are one
standard deviation over the seeds. What was not measured is not drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from safetensors import SafetensorError, safe_open

from utils.drawing import COLOURS, GREY, line_style, new_figure
from utils.report.collect import RunRecord
from utils.report.groups import DENSE, Group, Mean, mean, pareto_front

#: More panels side by side, or layers in one figure, nobody can read: evenly spaced ones are drawn then.
MOST_COLUMNS, MOST_LAYERS = 6, 24
#: An axis is logarithmic where its largest value is so many times its smallest.
DECADES = 8
#: At which accuracies, in per cent, an axis by the error has ticks.
ACCURACY_TICKS = (0, 50, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
#: Errors below this, in per cent, are drawn as this, where the axis is logarithmic in them.
SMALLEST_ERROR = 0.01


@dataclass(frozen=True)
class Picture:
    """A figure of the report."""

    #: The files' name without ending.
    name: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Measure:
    """Something to compare, of each run."""

    name: str
    #: What an axis says, with the unit.
    label: str
    of: Callable[[RunRecord], float | None]
    #: From the run's number to the axis's unit.
    factor: float = 1
    form: str = "{:.2f}"

    def mean(self, group: Group) -> Mean | None:
        """Over the runs of a group."""
        return mean(self.of(run) for run in group.runs)


def _figure_of(name: str) -> Callable[[RunRecord], float | None]:
    return lambda run: run.figure(name)


def _speed_up(batch: int) -> Callable[[RunRecord], float | None]:
    def of(run: RunRecord) -> float | None:
        pruned, dense = (run.figure(f"latency_{which}_batch_{batch}") for which in ("ms", "dense_ms"))
        return dense / pruned if pruned and dense else None

    return of


ACCURACY = Measure("accuracy", "accuracy [%]", lambda run: run.accuracy, 100)
COMPRESSION = Measure("compression", "compression: dense weights for each that is kept", lambda run: run.compression)
NODES = Measure("nodes", "hidden units and channels pruned [%]", _figure_of("node_sparsity"), 100)
FLOPS = Measure("flops", "FLOPs of an image, zeros free [millions]", _figure_of("flops_effective"), 1e-6, "{:.4g}")
TESTING = Measure("testing_time", "time of testing the whole set [s]", _figure_of("seconds_testing"), 1, "{:.3f}")
TRAINING = Measure("training_time", "time of training [s]", _figure_of("seconds_training"), 1, "{:.1f}")
LATENCY = {
    size: Measure(
        f"latency_batch_{size}",
        f"latency of {size} image{'s' if size > 1 else ''} [ms]",
        _figure_of(f"latency_ms_batch_{size}"),
        1,
        "{:.3f}",
    )
    for size in (1, 64)
}
SPEED_UP = {size: Measure(f"speed_up_batch_{size}", "times as fast as dense", _speed_up(size)) for size in (1, 64)}


def draw(groups: Sequence[Group]) -> Iterator[Picture]:
    """Draw every figure that there are data for, one at a time."""
    # Where colours come round again, lines are dashed.
    styles = {
        line: line_style(number) | {"linestyle": ("-", "--", ":")[number // len(COLOURS) % 3]}
        for number, line in enumerate(_lines(groups))
    }
    against = [
        (COMPRESSION, ACCURACY, "Accuracy by compression."),
        (NODES, ACCURACY, "Accuracy by the share of hidden units and channels that are pruned."),
        (COMPRESSION, TESTING, "Time of the last test of each run, over the whole held-out set, by compression."),
        (COMPRESSION, LATENCY[1], "Latency of one image by compression."),
        (COMPRESSION, LATENCY[64], "Latency of a batch of 64 images by compression."),
        (COMPRESSION, FLOPS, "FLOPs by compression; a layer counts by its weights that are not zero."),
        (FLOPS, ACCURACY, "Accuracy by FLOPs; a layer counts by its weights that are not zero."),
    ]
    for x, y, caption in against:
        if figure := _lines_of(groups, x, y, styles):
            spread = " Points are means over the seeds, bars one standard deviation."
            yield Picture(f"{y.name}_by_{x.name}", caption + spread, figure)
    if figure := _pareto(groups, styles):
        caption = "Accuracy by measured speed, dense latency / pruned latency; the line joins what nothing else beats."
        yield Picture("pareto_speed", caption, figure)
    for number, panel in enumerate(dict.fromkeys(one.panel for one in groups), start=1):
        own = [one for one in groups if one.panel == panel]
        if figure := _densities(panel, own, styles):
            yield Picture(
                f"layers_{number}", f"{panel}: the share of each layer's weights that is kept, means.", figure
            )
        if figure := _training(panel, own, styles):
            yield Picture(f"training_{number}", f"{panel}: training, means over the seeds.", figure)
        yield from _histograms(panel, own, styles, number)


def _lines(groups: Sequence[Group]) -> list[str]:
    return sorted({one.line for one in groups}, key=lambda line: (line != DENSE, line.lower()))


def _spaced(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, evenly spaced, the first and the last included."""
    if len(things) <= most:
        return list(things)
    return [things[round(number * (len(things) - 1) / (most - 1))] for number in range(most)]


def _grid(number: int, width: float, height: float, most: int = 4) -> tuple[Figure, list[Axes]]:
    columns = min(number, most)
    rows = math.ceil(number / columns)
    figure = new_figure(max(width * columns + 1.5, 8), height * rows + 0.8)
    panels = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for axes in panels[number:]:
        axes.axis("off")
    return figure, panels[:number]


def _by_error(axes: Axes, values: Sequence[float]) -> None:
    """Let an axis of accuracies in per cent be logarithmic in the error where the errors span a decade."""
    errors = [max(100 - value, SMALLEST_ERROR) for value in values]
    if max(errors) < DECADES * min(errors):
        return

    def forward(accuracy: Any) -> Any:
        return -np.log10(np.maximum(100 - accuracy, SMALLEST_ERROR))

    axes.set_yscale("function", functions=(forward, lambda place: 100 - 10.0**-place))
    axes.yaxis.set_major_locator(FixedLocator(ACCURACY_TICKS))
    axes.yaxis.set_major_formatter("{x:g}")
    low, high = 100 - 1.3 * max(errors), 100 - min(errors) / 1.3
    axes.set_ylim(max(low, 0), high)
    if label := axes.get_ylabel():
        axes.set_ylabel(f"{label}\n(logarithmic in the error)")


def _logarithmic(axis: Any, values: Sequence[float], suffix: str = "") -> None:
    """Let an axis be logarithmic where its values are positive and span a decade."""
    if min(values) > 0 and max(values) >= DECADES * min(values):
        axis._set_axes_scale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}" + suffix)


def _lines_of(groups: Sequence[Group], x: Measure, y: Measure, styles: dict[str, dict]) -> Figure | None:
    """A panel for each of the groups', a line for each of theirs; what is dense is a dashed line across."""
    points = {
        id(one): (across, up)
        for one in groups
        if (across := x.mean(one)) is not None and (up := y.mean(one)) is not None
    }
    there = [one for one in groups if id(one) in points]
    if not there or (x is NODES and not any(points[id(one)][0].value for one in there)):
        return None
    panels = list(dict.fromkeys(one.panel for one in there))
    figure, all_axes = _grid(len(panels), 5.2, 3.9, most=3)
    named: dict[str, Any] = {}
    for axes, panel in zip(all_axes, panels, strict=True):
        own = [one for one in there if one.panel == panel]
        seen: list[tuple[float, float]] = []
        for line in _lines(own):
            rows = sorted(
                [points[id(one)] for one in own if one.line == line], key=lambda pair: (pair[0].value, pair[1].value)
            )
            xs, ys, spread = zip(
                *((a.value * x.factor, b.value * y.factor, (b.deviation or 0) * y.factor) for a, b in rows), strict=True
            )
            if line.startswith(DENSE) and x is not FLOPS:
                drawn = axes.axhline(ys[0], color="black", linestyle="--", linewidth=1)
            else:
                drawn = axes.errorbar(xs, ys, yerr=spread if any(spread) else None, capsize=2, **styles[line])
                seen += zip(xs, ys, strict=True)
            named.setdefault(line, drawn)
            seen += [] if seen else [(xs[0], ys[0])]
        axes.set(xlabel=x.label, ylabel=y.label, title=panel)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        _logarithmic(axes.xaxis, [point[0] for point in seen], "x" if x is COMPRESSION else "")
        if y is ACCURACY:
            _by_error(axes, [point[1] for point in seen])
        else:
            _logarithmic(axes.yaxis, [point[1] for point in seen])
        if x is COMPRESSION:
            _sparsity_above(axes)
    _legend(figure, named)
    return figure


def _sparsity_above(axes: Axes) -> None:
    """A second axis above that says of a compression which sparsity it is."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if max(low, 1) <= tick <= high]
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, [f"{100 - 100 / tick:.3g}%" for tick in ticks])
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("weights pruned", fontsize=8)
    above.tick_params(labelsize=8)


def _legend(figure: Figure, named: dict[str, Any]) -> None:
    """One legend beside all panels, whichever of them a line is in."""
    lines = sorted(named, key=lambda line: (line != DENSE, line.lower()))
    figure.legend([named[line] for line in lines], lines, loc="outside right upper", fontsize=9)


def _pareto(groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Accuracy against the measured speed-up: a panel for each panel of the groups and batch size."""
    drawn: list[tuple[str, list[tuple[Group, float, float]]]] = []
    for panel in dict.fromkeys(one.panel for one in groups):
        for size, measure in SPEED_UP.items():
            points = [
                (one, across.value, 100 * up.value)
                for one in groups
                if one.panel == panel
                if (across := measure.mean(one)) is not None and (up := ACCURACY.mean(one)) is not None
            ]
            if points:
                drawn.append((f"{panel}, {size} image{'s' if size > 1 else ''} at a time", points))
    if not drawn:
        return None
    figure, all_axes = _grid(len(drawn), 5.2, 3.9, most=2)
    named: dict[str, Any] = {}
    for axes, (title, points) in zip(all_axes, drawn, strict=True):
        for one, across, up in points:
            (mark,) = axes.plot(across, up, **styles[one.line] | {"linestyle": "none"})
            axes.annotate(one.target, (across, up), xytext=(4, 4), textcoords="offset points", fontsize=7)
            named.setdefault(one.line, mark)
        front = pareto_front([(across, up) for _, across, up in points])
        axes.plot(*zip(*front, strict=True), color=GREY, zorder=0, drawstyle="steps-pre")
        axes.axvline(1, color="black", linestyle=":", linewidth=1)
        axes.set(xlabel="times as fast as the dense network", ylabel=ACCURACY.label, title=title)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        _by_error(axes, [up for _, _, up in points])
    _legend(figure, named)
    return figure


def _targets(groups: Sequence[Group]) -> list[str]:
    """How much is pruned, in order, dense left out unless it is all there is."""
    pruned = [one for one in groups if not one.line.startswith(DENSE)] or groups
    return list(dict.fromkeys(one.target for one in sorted(pruned, key=lambda one: one.strength)))


def _densities(panel: str, groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Density of each layer in the order of the network: a panel for each target, a line for each of the groups'."""
    there = [one for one in groups if one.runs[0].densities and not one.line.startswith(DENSE)]
    if not there:
        return None
    targets = _spaced(_targets(there), MOST_COLUMNS)
    layers = list(dict.fromkeys(name for one in there for name in one.runs[0].densities))
    figure, all_axes = _grid(len(targets), max(3.4, 0.16 * min(len(layers), MOST_LAYERS) + 1.5), 3.6)
    named: dict[str, Any] = {}
    for axes, target in zip(all_axes, targets, strict=True):
        for one in there:
            if one.target == target:
                means = [mean(run.densities.get(name) for run in one.runs) for name in layers]
                points = [(place, 100 * share.value) for place, share in enumerate(means) if share and share.value]
                if points:
                    (drawn,) = axes.plot(*zip(*points, strict=True), **styles[one.line])
                    named.setdefault(one.line, drawn)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(title=target, ylabel="weights kept [%]", xlim=(-0.4, len(layers) - 0.6))
        places = _spaced(range(len(layers)), MOST_LAYERS)
        axes.set_xticks(places, [layers[place] for place in places], rotation=60, ha="right", fontsize=7)
        axes.grid(alpha=0.3)
    figure.suptitle(panel, fontsize=11)
    _legend(figure, named)
    return figure


def _training(panel: str, groups: Sequence[Group], styles: dict[str, dict]) -> Figure | None:
    """Loss and accuracy over the epochs: a column for each target, a line for each of the groups'."""
    there = [one for one in groups if any(run.epochs for run in one.runs)]
    if not there:
        return None
    columns = {name for one in there for run in one.runs for row in run.epochs for name in row}
    wanted = ["train_loss", *(f"{which}_accuracy" for which in ("train", "validation", "test"))]
    rows = [name for name in wanted if name in columns]
    targets = _spaced(_targets(there), MOST_COLUMNS)
    if not rows:
        return None
    figure = new_figure(max(3.1 * len(targets), 5) + 1.8, 2.5 * len(rows) + 0.6)
    panels = figure.subplots(len(rows), len(targets), squeeze=False, sharex="col", sharey="row")
    named: dict[str, Any] = {}
    for down, name in enumerate(rows):
        factor, seen = 100 if name.endswith("accuracy") else 1, []
        for across, target in enumerate(targets):
            axes = panels[down, across]
            for one in there:
                if one.target == target or one.line.startswith(DENSE):
                    points = _over_epochs(one, name)
                    if points:
                        epochs, values = zip(*points, strict=True)
                        values = [factor * value for value in values]
                        style = {**styles[one.line], "markersize": 3, "markevery": max(len(epochs) // 10, 1)}
                        (drawn,) = axes.plot(epochs, values, linewidth=1.2, **style)
                        named.setdefault(one.line, drawn)
                        seen += values
            axes.grid(alpha=0.3)
            axes.set(title=target if not down else "", xlabel="epoch" if down == len(rows) - 1 else "")
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[down, 0].set_ylabel(name.replace("_", " ") + (" [%]" if factor == 100 else ""))
        if factor == 100:
            for axes in panels[down]:
                _by_error(axes, seen)
        else:
            _logarithmic(panels[down, 0].yaxis, seen)
        for axes in panels[down, 1:]:
            axes.set_ylabel("")
    figure.suptitle(panel, fontsize=11)
    _legend(figure, named)
    return figure


def _over_epochs(group: Group, name: str) -> list[tuple[float, float]]:
    """The mean over the seeds at each epoch."""
    values: dict[float, list[float]] = {}
    for run in group.runs:
        for row in run.epochs:
            if name in row:
                values.setdefault(row["epoch"], []).append(row[name])
    return [(epoch, found.value) for epoch, many in sorted(values.items()) if (found := mean(many))]


def _histograms(panel: str, groups: Sequence[Group], styles: dict[str, dict], number: int) -> Iterator[Picture]:
    """The kept weights of each layer, of one run of each line, where most lines meet, of such nearest to 10x."""
    by_target: dict[str, list[tuple[Group, RunRecord]]] = {}
    for one in groups:
        run = next((run for run in one.runs if run.checkpoint), None)
        if run:
            by_target.setdefault(one.target, []).append((one, run))
    if not by_target:
        return
    target = max(by_target, key=lambda key: (len(by_target[key]), -abs(by_target[key][0][0].strength[0] - 0.9)))
    weights = {one.line: found for one, run in by_target[target] if (found := _kept_weights(run))}
    layers = _spaced(list(dict.fromkeys(name for found in weights.values() for name in found)), MOST_LAYERS)
    if not layers:
        return
    figure, all_axes = _grid(len(layers), 3.6, 2.6)
    named: dict[str, Any] = {}
    for axes, layer in zip(all_axes, layers, strict=True):
        there = {line: found[layer] for line, found in weights.items() if layer in found and found[layer].size}
        limit = max((float(np.quantile(np.abs(kept), 0.999)) for kept in there.values()), default=1.0) or 1.0
        for line, kept in there.items():
            counts, edges = np.histogram(kept, bins=50, range=(-limit, limit))
            named.setdefault(
                line, axes.stairs(counts, edges, color=styles[line]["color"], linestyle=styles[line]["linestyle"])
            )
        axes.set_title(layer, fontsize=9)
        axes.set_yscale("symlog", linthresh=1)
        axes.grid(alpha=0.3)
    figure.supxlabel("weight, those of zero left out", fontsize=9)
    figure.supylabel("weights", fontsize=9)
    figure.suptitle(f"{panel}, {target}", fontsize=11)
    _legend(figure, named)
    seeds = sorted({str(run.settings.get("seed")) for _, run in by_target[target]})
    caption = f"{panel}: the weights that are kept of each layer at {target}, of one run of each line (seed"
    yield Picture(f"weights_{number}", f"{caption}{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}).", figure)


def _kept_weights(run: RunRecord) -> dict[str, np.ndarray]:
    """The weights that are not zero of each prunable layer of a finished network; none where it cannot be read."""
    try:
        with safe_open(run.checkpoint, "np") as file:
            names = set(file.keys())
            found = {layer: file.get_tensor(f"{layer}.weight") for layer in run.densities if f"{layer}.weight" in names}
    except (OSError, SafetensorError, TypeError, ValueError):
        return {}
    return {layer: weight[weight != 0].astype(np.float32) for layer, weight in found.items()}
