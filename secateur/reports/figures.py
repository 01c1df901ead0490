"""Draws the groups of a report. Every line keeps its colour and marker through all figures; error bars are one
standard deviation over the seeds. What was not measured is not drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secateur.reports.groups import Group
from secateur.reports.layer_figures import layer_densities, weight_histograms
from secateur.reports.measure_figures import beyond_error, measure_lines, pareto
from secateur.reports.measures import ACCURACY, COMPRESSION, FLOPS, LATENCY, NODES, TESTING
from secateur.reports.panels import Picture, line_names
from secateur.reports.training_figures import training_curves
from secateur.utils.drawing import COLOURS, line_style


def draw(groups: Sequence[Group], problems: list[str]) -> Iterator[Picture]:
    """Draw every figure that there are data for, one at a time; what cannot be read for one is added to `problems`."""
    # Where colours come round again, lines are dashed.
    styles = {
        line: line_style(number) | {"linestyle": ("-", "--", ":")[number // len(COLOURS) % 3]}
        for number, line in enumerate(line_names(groups))
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
        if figure := measure_lines(beyond_error(groups, y) if y is TESTING else groups, x, y, styles):
            spread = " Points are means over the seeds, bars one standard deviation."
            yield Picture(f"{y.name}_by_{x.name}", caption + spread, figure)
    if figure := pareto(groups, styles):
        caption = "Accuracy by measured speed, dense latency / pruned latency; the line joins what nothing else beats."
        yield Picture("pareto_speed", caption, figure)
    for number, panel in enumerate(dict.fromkeys(one.panel for one in groups), start=1):
        own = [one for one in groups if one.panel == panel]
        if figure := layer_densities(panel, own, styles):
            yield Picture(
                f"layers_{number}", f"{panel}: the share of each layer's weights that is kept, means.", figure
            )
        if figure := training_curves(panel, own, styles):
            yield Picture(f"training_{number}", f"{panel}: training, means over the seeds.", figure)
        yield from weight_histograms(panel, own, styles, number, problems)
