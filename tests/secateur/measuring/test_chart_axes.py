"""How the charts of the testers make their lines comparable: scales, shared axes, and lines that hide no other."""

import math

import pytest
import torch
from matplotlib.ticker import NullLocator

from secateur.measuring.calibration import Calibration
from secateur.measuring.charts import attacks, calibration, corruption, layers, merging, sparsification, speed
from secateur.measuring.layers import WeightHistogram
from secateur.utils.axes import TickText
from tests.figures import described, figures_of

ATTACKED = {"norm": "Linf", "attack": "pgd", "network": "dense", "epsilon": 0.25, "clean": 0.9, "robust": 0.5}
LEVELS = [0.5, 0.4, 0.3, 0.2, 0.1]
MERGED = {"criterion": "l1", "ratio": 0.5, "original": 0.9, "pruned": 0.1, "merged": 0.1}
PRUNED = {"sparsity": 0.5, "weight_accuracy": 0.8, "weight_loss": 1, "unit_accuracy": 0.8, "unit_loss": 1}
METHOD = {"method": "a", "sparsity": 0.5, "accuracy": 0.6, "repaired_accuracy": 0.6}
TIMED = {"network": "a", "batch_size": 64, "batch_ms": 2, "images_per_second": 500, "times_as_fast": 1}


def figure_of(draw, *arguments):
    (figure,) = figures_of(draw, *arguments, None)
    return figure


@pytest.mark.parametrize(
    ("draw", "arguments"),
    [
        (attacks.robustness, ([ATTACKED, ATTACKED | {"attack": "fgsm"}], set(), "")),
        (corruption.curves, ({"a": 0.9, "b": 0.9}, {"a": {"blur": LEVELS}, "b": {"blur": LEVELS}}, "")),
        (layers.layer_sparsity, ({"a": {"x": 0.5, "y": 0.25}, "b": {"x": 0.5, "y": 0.25}}, "")),
        (merging.accuracies, ([MERGED, MERGED | {"ratio": 0.75}], ("original", "pruned", "merged"), "")),
        (sparsification.accuracy_and_loss, ([PRUNED, PRUNED | {"sparsity": 0}], "test", "")),
        (sparsification.methods, ([METHOD, METHOD | {"sparsity": 0}], "test", "")),
        (speed.speed, ([TIMED, TIMED | {"network": "b"}], set(), "")),
    ],
)
def test_of_two_lines_that_are_the_same_the_lower_is_wider(draw, arguments):
    for axes in figure_of(draw, *arguments).axes:
        lower, upper = [line.get_linewidth() for line in axes.lines if line.get_label() != "original"]
        assert lower == upper + 2.5


@pytest.mark.parametrize(
    ("draw", "arguments"),
    [
        (attacks.robustness, ([ATTACKED, ATTACKED | {"norm": "L2"}], set(), "")),
        (corruption.curves, ({"a": 0.9}, {"a": {"blur": LEVELS, "contrast": LEVELS}}, "")),
        (merging.accuracies, ([MERGED, MERGED | {"criterion": "l2"}], ("original", "pruned", "merged"), "")),
    ],
)
def test_panels_beside_each_other_have_one_scale_of_accuracies(draw, arguments):
    one, other = figure_of(draw, *arguments).axes
    assert one.get_shared_y_axes().joined(one, other)


def test_epsilons_are_drawn_from_0_and_by_their_logarithm_from_the_smallest_on():
    figure = figure_of(attacks.robustness, [ATTACKED | {"epsilon": number} for number in (0.5, 1.0, 0.25)], set(), "")
    scale = figure.axes[0].xaxis.get_transform()
    assert (scale.linthresh, scale.linscale) == (0.25, 0.5)
    # 63.75 and 127.5 levels of 8 bits are no whole ones, and 255 are all there are.
    assert "  x symlog 0=0 0.25=0.25 0.5=0.5 1=1" in described(figure)
    assert "  x symlog 0=0 0.1=0.1" in described(
        figure_of(attacks.robustness, [ATTACKED | {"epsilon": 0.1}], set(), "")
    )


def test_an_adversarial_image_in_three_colours_and_its_change_by_the_largest_of_either_sign():
    original = torch.tensor([[0.75, 0.5], [0.5, 0.25], [1.5, -1]]).view(1, 3, 1, 2)
    changed = original.clone()
    changed[0, 0] = torch.tensor([0.25, 0.75])
    figure = figure_of(attacks.adversarial_images, original, changed, [(3, 4)], "pgd")
    image, change, adversarial = (axes.images[0].get_array() for axes in figure.axes)
    assert image.tolist() == [[[0.75, 0.5, 1], [0.5, 0.25, 0]]]  # no colour is brighter than 1 or darker than 0
    assert change.tolist() == [[[0, 0.5, 0.5], [0.75, 0.5, 0.5]]]
    assert adversarial.tolist() == [[[0.25, 0.5, 1], [0.75, 0.25, 0]]]
    assert figure.axes[1].get_title() == "± 0.5"
    assert all(axes.get_xticks().size == axes.get_yticks().size == 0 for axes in figure.axes)
    grey = figure_of(attacks.adversarial_images, original[:, 2:], original[:, 2:], [(3, 4)], "pgd")
    assert grey.axes[0].images[0].get_array().tolist() == [[1, 0]]


def test_a_reliability_diagram_stands_above_a_lower_histogram_with_ticks_of_one_form():
    figure = figure_of(calibration.reliability, {"a": Calibration([1, 3], [0.4, 0.9], [0, 1], 0.1, 0.2)}, "")
    diagram, histogram = figure.axes
    assert diagram.get_gridspec().get_height_ratios() == [3, 1.2]
    assert [bar.get_linewidth() for bar in (diagram.patches[0], diagram.patches[-1], histogram.patches[0])] == [
        0.5, 1, 0.5
    ]  # fmt: skip
    assert diagram.patches[-1].get_hatch() == "////"
    assert isinstance(histogram.yaxis.get_minor_locator(), NullLocator)
    assert isinstance(histogram.yaxis.get_major_formatter(), TickText)


def test_weights_of_one_network_are_filled_and_counted_by_a_logarithm_from_1_on():
    histograms = {"x": WeightHistogram([-1, 0, 1], {"a": [1, 2]}, {"a": 0})}
    (axes,) = figure_of(layers.weights_of_layers, histograms, "").axes
    assert axes.patches[0].get_fill()
    scale = axes.yaxis.get_transform()
    assert (scale.linthresh, scale.linscale) == (1, 0.4)
    assert isinstance(axes.yaxis.get_major_formatter(), TickText)
    assert axes.xaxis.get_major_locator()._nbins == 5
    both = {"x": WeightHistogram([-1, 0, 1], {"a": [1, 2], "b": [1, 2]}, {"a": 0, "b": 0})}
    (axes,) = figure_of(layers.weights_of_layers, both, "").axes
    assert not any(one.get_fill() for one in axes.patches)


def test_batch_sizes_are_drawn_by_their_logarithm_of_base_2_with_no_other_ticks():
    figure = figure_of(speed.speed, [TIMED, TIMED | {"batch_size": 1}], set(), "")
    for axes in figure.axes:
        assert axes.xaxis.get_transform().base == 2
        assert isinstance(axes.xaxis.get_minor_locator(), NullLocator)
    assert [type(axes.yaxis.get_major_formatter()) is TickText for axes in figure.axes] == [True, True, False]


def test_one_image_under_corruptions_says_by_which_strength(monkeypatch):
    asked = []
    monkeypatch.setattr(
        corruption,
        "corrupt",
        lambda image, name, level, generator: asked.append((name, level, generator)) or image * (1 - level / 10),
    )
    image = torch.tensor([[[1.0, 0.5]], [[0.25, 0]], [[0, 0]]])[None]
    figure = figure_of(corruption.examples, image, ["shot_noise"], 7)
    panels = [
        f"panel '{title}': '' by '{label}'\n  image ({whole:g} {whole / 4:g} 0 {whole / 2:g} 0 0) gray (0 1)"
        for title, label, whole in zip(
            ("as it is", 60, 25, 12, 5, 3),
            (r"shot noise\n(photons of a white pixel)", *[""] * 5),
            (1, 0.9, 0.8, 0.7, 0.6, 0.5),
            strict=True,
        )
    ]
    wanted = "\n".join(["title: one image under corruptions, level 1 to 5", *panels])
    assert "\n".join(described(figure)) == wanted
    assert [(name, level) for name, level, _ in asked] == [("shot_noise", level) for level in range(1, 6)]
    assert len({id(generator) for *_, generator in asked}) == 1  # which goes on from level to level
    grey = figure_of(corruption.examples, image[:, :1], ["blur"], 7)
    assert "  image (1 0.5) gray (0 1)" in described(grey)


class Frames:
    """In place of a file: what a figure says at each picture of an animation."""

    def __init__(self, fps):
        self.fps, self.said = fps, []
        Frames.last = self

    def saving(self, figure, path, dpi):
        self.figure = figure
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def grab_frame(self):
        self.said.append(described(self.figure))


def test_an_animation_shows_twelve_layers_in_sixty_bars_and_a_picture_a_second(monkeypatch, tmp_path):
    monkeypatch.setattr(sparsification, "PillowWriter", Frames)
    norms = {f"l{number}": torch.zeros(3) for number in range(14)}
    norms["l0"] = torch.tensor([6.0, 3.0, 0.0])
    steps = {0.0: {name: torch.ones(3) for name in norms}, 0.5: {name: torch.tensor([1, 0, 0]) for name in norms}}
    sparsification.distributions("weight", norms, steps, "LeNet5", tmp_path)
    assert Frames.last.fps == 1
    whole, half = Frames.last.said
    assert (whole[0], half[0]) == ("title: LeNet5: weights, k = 0%", "title: LeNet5: weights, k = 50%")
    # Of 14 layers every 13/11-th
    names = [f"l{number}" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13)]
    titles = [axes.get_title() for axes in Frames.last.figure.axes]
    assert titles == [f"{name}: {int(name == 'l0')} of 3 weights" for name in names]
    first, empty = Frames.last.figure.axes[:2]
    before, kept = (one.get_data() for one in first.patches)
    assert before.edges.tolist() == pytest.approx([number / 10 for number in range(61)])
    # 3 is the lower edge of the 31st bar, and 6 the upper edge of the last.
    assert before.values.nonzero()[0].tolist() == [30, 59]
    assert kept.values.nonzero()[0].tolist() == [59]
    assert (first.get_xlim(), first.get_ylim()) == ((0, 6), (0, 1.05))
    assert (empty.get_xlim(), empty.get_ylim()) == ((0, 1), (0, 1))
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in Frames.last.figure.axes]
    assert labels == [("|w|" * (place > 7), "weights" * (place % 4 == 0)) for place in range(12)]
    assert half[-1] == "legend in 2: before, kept"
    few = {name: norms[name] for name in ("l0", "l1")}
    sparsification.distributions("unit", few, {}, "LeNet5", tmp_path)
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in Frames.last.figure.axes]
    said = "L2 norm of a unit's incoming weights"
    assert labels == [(said, "units"), (said, "")]
    assert math.isclose(Frames.last.figure.axes[0].get_ylim()[1], 1.05)
