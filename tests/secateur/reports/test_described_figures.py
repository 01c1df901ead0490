"""Every line, label and scale of the figures of a report."""

import pytest
from matplotlib.figure import Figure

from secateur.reports.layer_figures import layer_densities
from secateur.reports.measure_figures import _sparsity_above, measure_lines, pareto
from secateur.reports.measures import ACCURACY, COMPRESSION, LATENCY
from secateur.reports.panels import MOST_LINES, MOST_PANELS, most_run
from secateur.reports.tables import _is_ratio
from secateur.reports.training_figures import training_curves
from tests.figures import described

STYLES = {name: {"color": "black", "marker": "o", "linestyle": "-"} for name in ("EmptyCrit", "CNIP", "SNIP")}


def test_training(groups):
    wanted = """\
title: LeNet5 \\$
panel '10x': '' by 'train loss'
  line _child0 -o: (1 2) (2 1)
  line _child1 -o: (1 2) (2 1)
  line _child2 -o: (1 2) (2 1)
panel '20x': '' by ''
  line _child0 -o: (1 2) (2 1)
  line _child1 -o: (1 2) (2 1)
panel '': 'epoch' by 'train accuracy [%]'
  line _child0 -o: (1 20) (2 40)
  line _child1 -o: (1 20) (2 40)
  line _child2 -o: (1 20) (2 40)
panel '': 'epoch' by ''
  line _child0 -o: (1 20) (2 40)
  line _child1 -o: (1 20) (2 40)
legend in 3: dense, CNIP, SNIP
"""
    assert described(training_curves("LeNet5 $", groups, STYLES)) == wanted.splitlines()


def test_layers(groups):
    wanted = """\
title: LeNet5 \\$
panel '10x': '' by 'weights kept [%]'
  x linear (-0.4 1.4) 0=first 1=last
  y log
  line _child0 -o: (0 10) (1 10)
  line _child1 -o: (0 10) (1 10)
panel '20x': '' by 'weights kept [%]'
  x linear (-0.4 1.4) 0=first 1=last
  y log
  line _child0 -o: (0 5) (1 5)
legend in 2: CNIP, SNIP
"""
    assert described(layer_densities("LeNet5 $", groups, STYLES)) == wanted.splitlines()


def test_measures(groups):
    wanted = """\
panel 'LeNet300 on DIGITS': 'compression: dense weights for each that is kept' by 'accuracy [%]'
  x log
  line _child0 --None: (0 90) (1 90)
  line _nolegend_ -o: (10 55)
  line _nolegend_ -o: (10 60) (20 40)
  line _nolegend_ None_: (10 45.86) (20 40)
  line _nolegend_ None_: (10 74.14) (20 40)
  beside it: 'weights pruned' by ''
legend in 3: dense, CNIP, SNIP
"""
    assert described(measure_lines(groups, COMPRESSION, ACCURACY, STYLES)) == wanted.splitlines()
    assert measure_lines(groups[:1], COMPRESSION, LATENCY[64], STYLES) is None  # which was not measured


def test_the_axis_above_says_how_much_each_compression_prunes():
    axes = Figure().subplots()
    axes.set_xticks([0.5, 1, 2, 10, 20])
    axes.set_xlim(0.5, 15)
    _sparsity_above(axes)
    assert [label.get_text() for label in axes.child_axes[0].get_xticklabels()] == ["0%", "50%", "90%"]


def test_speed(groups):
    wanted = """\
panel 'LeNet300 on DIGITS, 1 image at a time': 'times as fast as the dense network' by 'accuracy [%]'
  line _child0 Noneo: (2 60)
  line _child1 -None: (2 60)
  line _child2 :None: (1 0) (1 1)
  text (4 5): '10x'
panel 'LeNet300 on DIGITS, 64 images at a time': 'times as fast as the dense network' by 'accuracy [%]'
  line _child0 Noneo: (4 60)
  line _child1 -None: (4 60)
  line _child2 :None: (1 0) (1 1)
  text (4 5): '10x'
legend in 1: SNIP
"""
    assert described(pareto(groups, STYLES)) == wanted.splitlines()


class Counted:
    """A group of so many runs."""

    def __init__(self, panel, line, runs):
        self.panel, self.line, self.runs = panel, line, [None] * runs


def test_of_more_panels_and_lines_than_a_page_shows_those_of_the_most_runs_stay():
    few = [Counted(f"p{number}", f"l{line}", 1) for number in range(MOST_PANELS) for line in range(MOST_LINES)]
    assert most_run(few) == (few, "")
    more = [*few, Counted("many", "many", 30), Counted("p0", "EmptyCrit", 1), Counted("p1", "l0", 1)]
    kept, said = most_run(more)
    panels, lines = ({getattr(one, name) for one in kept} for name in ("panel", "line"))
    assert (len(panels), "many" in panels, "p1" in panels) == (MOST_PANELS, True, True)
    assert lines >= {"many", "l0", "EmptyCrit"}  # dense is always shown
    assert len(lines) == MOST_LINES + 1
    assert f"{MOST_PANELS} of {MOST_PANELS + 1} networks and data, {MOST_LINES} of {MOST_LINES + 2} lines." in said


@pytest.mark.parametrize(
    ("target", "is_ratio"),
    [("10x", True), ("2.5x", True), ("all", False), ("max", False), ("2", False), ("10x, snip_steps 3", False)],
)
def test_a_compression_is_sorted_as_a_number(target, is_ratio):
    assert _is_ratio(target) == is_ratio
