"""What the charts of trade-offs, sensitivities, methods and masks say, by the numbers they are given."""

import torch

from secateur.measuring.charts import masks, sensitivity, sparsification, tradeoff
from tests.figures import described, figures_of


def figure_of(draw, *arguments):
    (figure,) = figures_of(draw, *arguments, None)
    return figure


def shown(draw, *arguments):
    return "\n".join(described(figure_of(draw, *arguments))) + "\n"


def test_a_curve_of_pruned_networks_and_dense_ones_beside_it():
    rows = [
        ("LeNet5", None, 4.0, 0.75), ("MLP5", None, 3.0, 0.5), ("LeNet5", 0.5, 2.0, 0.625),
        ("LeNet5", 0.25, 1.0, 0.25), ("VGG", None, None, 0.9),
    ]  # fmt: skip
    rows = [dict(zip(("network", "asked", "latency_ms", "accuracy"), row, strict=True)) for row in rows]
    wanted = """\
title: budgets
panel '': 'latency of a batch [ms]' by 'test accuracy [%]'
  line LeNet5, pruned -o: (1 25) (2 62.5) (4 75)
  line dense networks Nones: (3 50)
legend in 2: LeNet5, pruned, dense networks
"""
    figure = figure_of(tradeoff.tradeoff, rows, "LeNet5", "test", "budgets")
    texts = [f"  text {text.xy[0]:g} {text.xy[1]:g}: {text.get_text()}" for text in figure.axes[0].texts]
    assert texts == ["  text 3 50: MLP5", "  text 4 75: LeNet5"]
    lines = [line for line in described(figure) if not line.startswith("  text")]
    assert "\n".join(lines) + "\n" == wanted
    assert figure.axes[0].lines[0].get_markersize() == 5
    alone = described(figure_of(tradeoff.tradeoff, rows[1:2], "LeNet5", "test", ""))
    assert [line for line in alone if "line" in line] == ["  line dense networks Nones: (3 50)"]
    alone = described(figure_of(tradeoff.tradeoff, rows[:1], "LeNet5", "test", ""))
    assert [line for line in alone if "line" in line] == ["  line LeNet5, pruned -o: (4 75)"]


def test_accuracy_by_layer_and_sparsity_as_pruned_and_recalibrated():
    rows = [("b", 0.5, 0.25, 0.5), ("b", 0.25, 0.75, 0.5), ("a", 0.5, 0.45, 0.125)]
    keys = ("layer", "sparsity", "accuracy", "recalibrated_accuracy")
    rows = [dict(zip(keys, row, strict=True)) for row in rows]
    figure = figure_of(sensitivity.heat_map, rows, "test", "LeNet5")
    wanted = """\
title: LeNet5
panel 'as pruned': "layer's sparsity [%]" by 'layer'
  x linear 0=25 1=50
  y linear 0=b 1=a
  image (75 25)/(-- 45) viridis (0 75)
  text (0 0): '75.0'
  text (1 0): '25.0'
  text (0 1): 'nan'
  text (1 1): '45.0'
panel 'after batch-norm recalibration': "layer's sparsity [%]" by ''
  x linear 0=25 1=50
  y linear 0=b 1=a
  image (50 50)/(-- 12.5) viridis (0 75)
  text (0 0): '50.0'
  text (1 0): '50.0'
  text (0 1): 'nan'
  text (1 1): '12.5'
"""
    said = "\n".join(described(figure))
    assert said.startswith(wanted)
    assert figure.axes[2].get_ylabel() == "test accuracy [%]"
    # Dark cells, below 60 % of the highest, have white numbers: 45 is not below.
    assert [text.get_color() for text in figure.axes[0].texts] == ["black", "white", "black", "black"]
    assert [axes.title.get_fontsize() for axes in figure.axes[:2]] == [10, 10]
    assert figure.axes[0].get_shared_y_axes().joined(*figure.axes[:2])


def test_forty_layers_at_most_have_their_numbers_written_out():
    row = {"sparsity": 0.5, "accuracy": 0.5, "recalibrated_accuracy": 0.5}
    for number, texts in ((40, 40), (41, 0)):
        rows = [row | {"layer": f"l{layer}"} for layer in range(number)]
        assert len(figure_of(sensitivity.heat_map, rows, "test", "").axes[0].texts) == texts


def test_accuracy_of_each_method_as_pruned_and_after_repair():
    keys = ("method", "sparsity", "accuracy", "repaired_accuracy")
    rows = [("b", 0.5, 0.25, 0.75), ("b", 0.25, 0.5, 0.875), ("a", 0.5, 0.125, 0.375)]
    wanted = """\
title: LeNet5
panel '': 'pruned, without training [%]' by 'test accuracy [%]'
  line b --o: (25 50) (50 25)
  line b, repaired -o: (25 87.5) (50 75)
  line a --s: (50 12.5)
  line a, repaired -s: (50 37.5)
legend in 4: b, b, repaired, a, a, repaired
"""
    rows = [dict(zip(keys, row, strict=True)) for row in rows]
    assert shown(sparsification.methods, rows, "test", "LeNet5") == wanted


def test_the_first_kernels_are_those_of_whole_outputs_of_at_most_192_inputs_in_all():
    def title(*shape):
        return figure_of(masks.kernels, {"a": torch.ones(*shape)}).axes[0].get_title()

    assert title(2, 96, 1, 1) == "a: 2x96x1x1"
    assert title(3, 200, 1, 1) == "a: 3x200x1x1, the first 1 outputs"
    assert title(193, 1, 1, 1) == "a: 193x1x1x1, the first 192 outputs"


def test_the_colours_of_kernels_reach_as_far_below_zero_as_above_it():
    said = shown(masks.kernels, {"a": torch.tensor([-4.0, 2.0]).view(2, 1, 1, 1), "b": torch.zeros(2, 1, 1, 1)})
    assert "panel '': '' by 'weight'\n  x linear (0 1)\n  y linear (-4 4)\n" in said
    assert "panel '': '' by 'weight'\n  x linear (0 1)\n  y linear (-1 1)\n" in said
    assert "  image (0.4039 0 0.1216 1 0.7333 0.7333 0.7333 1 " in said  # -4 is of the darkest red
    assert "  image (0 0 0 1 0.7333 0.7333 0.7333 1 0 0 0 1) " in said


def test_kernels_are_laid_out_about_twice_as_wide_as_high():
    def shape(outputs, inputs):
        return tuple(masks.tiled(torch.ones(outputs, inputs, 1, 1))[0].shape)

    # sqrt(2 * 8) outputs in a row, and a gap between each and the next
    assert shape(8, 1) == (2 * 2 - 1, 2 * 4 - 1)
    assert shape(18, 1) == (2 * 3 - 1, 2 * 6 - 1)
    assert shape(32, 4) == (2 * 8 - 1, 2 * 16 - 1)
    assert shape(2, 50) == (2 * 2 - 1, 2 * 50 - 1)


def test_one_network_of_one_channel_has_one_panel_of_pixels():
    said = shown(masks.pixels_read, {"a": torch.tensor([[[1, 2], [3, 4]]])})
    assert said.startswith(
        "title: kept weights of each input pixel in the first layer\npanel 'a': '' by ''\n"
        "  image (1 2)/(3 4) viridis (0 4)\npanel '': '' by 'kept weights'\n"
    )


def test_six_layers_are_all_shown_and_one_alone_has_one_panel():
    mask = torch.tensor([[True, False], [False, False]])
    lines = shown(masks.kept_layers, {"a": {f"l{number}": mask for number in range(6)}}).splitlines()
    names = [line for line in lines if "kept'" in line]
    assert names[0] == r"panel 'l0 2x2\n25.00% kept': '' by 'a'"
    assert names[1:] == [rf"panel 'l{number} 2x2\n25.00% kept': '' by ''" for number in range(1, 6)]
    lines = shown(masks.kept_layers, {"a": {"l0": mask}}).splitlines()
    assert lines[:3] == [
        "title: share of the weights that are kept: outputs down, inputs across",
        r"panel 'l0 2x2\n25.00% kept': '' by 'a'",
        "  image (1 0)/(0 0) viridis (0 1)",
    ]
