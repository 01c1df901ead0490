"""What the charts of the testers show, by the numbers they are given."""

import math

import torch

from secateur.measuring.calibration import Calibration
from secateur.measuring.charts import attacks, calibration, corruption, layers, masks, merging, sparsification, speed
from secateur.measuring.layers import WeightHistogram
from tests.figures import described, figures_of


def shown(draw, *arguments):
    """What the one figure says that is saved."""
    (figure,) = figures_of(draw, *arguments, None)
    return "\n".join(described(figure)) + "\n"


def test_robust_accuracy_by_epsilon_of_each_norm_network_and_attack():
    keys = ("norm", "attack", "network", "epsilon", "clean", "robust")
    rows = [
        ("Linf", "pgd", "dense", 2 / 255, 0.9, 0.5), ("Linf", "pgd", "pruned", 2 / 255, 0.8, 0.25),
        ("Linf", "noise", "dense", 0, 0.9, 0.9), ("Linf", "noise", "dense", 0.3, 0.9, 0.7),
        ("L0", "few", "dense", 3, 0.9, 0.4), ("L2", "boundary", "dense", math.inf, 0.9, 0.4),
    ]  # fmt: skip
    rows = [dict(zip(keys, row, strict=True)) for row in rows]
    wanted = """\
title: LeNet5
panel 'Linf': 'epsilon, Linf norm of pixels in [0, 1]' by 'robust accuracy [%]'
  x symlog 0=0 0.007843=2/255 0.3=0.3
  y linear (-3 103)
  line pgd, dense -o: (0 90) (0.007843 50)
  line pgd, pruned --o: (0 80) (0.007843 25)
  line noise, dense -s: (0 90) (0.3 70)
panel 'L0': 'epsilon, L0 norm values' by ''
  x symlog 0=0 3=3
  y linear (-3 103)
  line few, dense -D: (0 90) (3 40)
legend in 4: pgd, dense, pgd, pruned, noise, dense, few, dense
"""
    assert shown(attacks.robustness, rows, {"noise"}, "LeNet5") == wanted
    assert "  line pgd -o: (0 90) (0.007843 50)\n" in shown(attacks.robustness, rows[:1], set(), "")
    assert figures_of(attacks.robustness, rows[-1:], set(), "", None) == []


def test_adversarial_images_and_what_was_added():
    originals = torch.tensor([[0.5, 0.25], [0.5, 0.25]])[..., None, None]  # two images of two channels and one pixel
    changed = originals.clone()
    changed[0, 0] = 0.75
    wanted = """\
title: pgd
panel 'class 3': '' by 'image'
  image (0.375) gray (0 1)
panel 'class 5': '' by ''
  image (0.375) gray (0 1)
panel '± 0.25': '' by 'change, enlarged'
  image (0.75) RdBu (0 1)
panel '± 0': '' by ''
  image (0.5) RdBu (0 1)
panel 'taken for 4': '' by 'adversarial image'
  image (0.5) gray (0 1)
panel 'taken for 5': '' by ''
  image (0.375) gray (0 1)
"""
    assert shown(attacks.adversarial_images, originals, changed, [(3, 4), (5, 5)], "pgd") == wanted


def test_reliability():
    found = Calibration([0, 1, 3], [0, 0.5, 0.9], [0, 1, 2 / 3], 0.1, 0.2)
    wanted = """\
title: LeNet5
panel 'dense\\nECE 30.00%, MCE 50.00%': '' by 'accuracy [%]'
  x linear (0 100)
  y linear (0 100)
  line calibrated --None: (0 0) (100 100)
  bar at (33.33 0): (33.33 100)
  bar at (66.67 0): (33.33 66.67)
  bar at (33.33 100): (33.33 -50)
  bar at (66.67 66.67): (33.33 23.33)
panel '': 'confidence [%]' by 'images'
  x linear (0 100)
  y log (0.5 8)
  bar at (0 0): (33.33 0)
  bar at (33.33 0): (33.33 1)
  bar at (66.67 0): (33.33 3)
legend in 1: calibrated, accuracy, gap to the confidence
"""
    assert shown(calibration.reliability, {"dense": found}, "LeNet5") == wanted
    lines = shown(calibration.reliability, dict.fromkeys("abcde", found), "LeNet5").splitlines()
    errors = "ECE 30.00%, MCE 50.00%"
    assert [line for line in lines if line.startswith("panel")] == [
        rf"panel 'a\n{errors}': '' by 'accuracy [%]'", *(rf"panel '{name}\n{errors}': '' by ''" for name in "bcd"),
        "panel '': 'confidence [%]' by 'images'", *["panel '': 'confidence [%]' by ''"] * 3,
        rf"panel 'e\n{errors}': '' by 'accuracy [%]'", *["panel left empty"] * 3,
        "panel '': 'confidence [%]' by 'images'", *["panel left empty"] * 3,
    ]  # fmt: skip


def test_accuracy_by_level_of_corruption():
    levels = [0.5, 0.4, 0.3, 0.2, 0.1]
    found = {network: {f"c_{number}": levels for number in range(5)} for network in "ab"}
    said = shown(corruption.curves, {"a": 0.9, "b": 0.8}, found, "LeNet5")
    panel = """\
  x linear 0= 1= 2= 3= 4= 5=
  y linear (-3 103)
  line a -o: (0 90) (1 50) (2 40) (3 30) (4 20) (5 10)
  line b -s: (0 80) (1 50) (2 40) (3 30) (4 20) (5 10)
"""
    heads = [f"panel 'c {number}': 'level' by '{'accuracy [%]' * (number in (0, 4))}'\n" for number in range(5)]
    empty = "panel left empty\n" * 3
    assert said == f"title: LeNet5\n{panel.join(heads)}{panel}{empty}legend in 2: a, b\n"


def test_sparsity_of_each_layer_with_one_that_is_lost():
    kept = {"a": {"x": 0.5, "y": 0.01}, "b": {"x": 0.25, "z": 0}}
    wanted = """\
title: LeNet5: sparsity of each layer
panel '': 'layer' by 'sparsity [%]'
  x linear 0=x 1=y 2=z
  y log (1.15 0.0045) 1=0 0.5=50 0.2=80 0.1=90 0.05=95 0.02=98 0.01=99 0.005=100
  line a -o: (0 0.5) (1 0.01)
  line b -s: (0 0.25) (2 0.005)
legend in 2: a, b
"""
    assert shown(layers.layer_sparsity, kept, "LeNet5") == wanted
    wanted = """\
title: LeNet5: sparsity of each layer
panel '': 'layer' by 'sparsity [%]'
  x linear 0=x
  y log (1.15 0.3) 1=0 0.5=50
  line a -o: (0 0.5)
"""
    assert shown(layers.layer_sparsity, {"a": {"x": 0.5}}, "LeNet5") == wanted
    assert "  y log (1.15 0.225) 1=0 0.5=50 0.25=100\n" in shown(layers.layer_sparsity, {"a": {"x": 0}}, "LeNet5")


def test_weights_of_each_layer_and_how_many_are_gone():
    histograms = {
        "x": WeightHistogram([-1, 0, 1], {"a": [1, 2], "b": [0, 1]}, {"a": 3000, "b": 4}),
        "y": WeightHistogram([0, 1], {"a": [5]}, {"a": 0}),
    }
    said = shown(layers.weights_of_layers, histograms, "LeNet5")
    wanted = """\
title: LeNet5: weights of each layer, without those that are zero or removed
panel 'x\\nleft out: 3,000, 4': 'weight' by 'weights'
  y symlog (0 2.179)
  stairs : (1 2) between (-1 0 1)
  stairs : (0 1) between (-1 0 1)
panel 'y\\nleft out: 0': 'weight' by ''
  y symlog (0 5.703)
  stairs : (5) between (0 1)
legend in 2: a, b
"""
    assert said == wanted
    said = shown(layers.weights_of_layers, dict.fromkeys("abcde", histograms["y"]), "LeNet5")
    assert said.count("stairs") == 5
    assert said.endswith("panel left empty\n" * 3)  # two rows of four, and no legend of one network


def test_kept_weights_of_each_pixel():
    counts = {
        "a": torch.tensor([[[1, 2], [3, 4]], [[0, 0], [0, 1]]]),
        "b": torch.tensor([[[1, 2], [3, 4]], [[0, 0], [0, 9]]]),
    }  # fmt: skip
    said = shown(masks.pixels_read, counts)
    wanted = """\
title: kept weights of each input pixel in the first layer
panel 'a, channel 0': '' by ''
  image (1 2)/(3 4) viridis (0 4)
panel 'a, channel 1': '' by ''
  image (0 0)/(0 1) viridis (0 1)
panel 'b, channel 0': '' by ''
  image (1 2)/(3 4) viridis (0 4)
panel 'b, channel 1': '' by ''
  image (0 0)/(0 9) viridis (0 9)
"""
    assert said.partition("panel '': '' by 'kept weights'")[0] == wanted
    assert said.count("kept weights'") == 4


def test_kept_weights_of_each_class():
    mean = torch.tensor([[[0.1, 0.2]], [[0.3, 0.6]]])
    columns = {"0": (mean, [torch.tensor([[0, 2]]), torch.tensor([[0, 0]])])}
    wanted = """\
title: LeNet5
panel '0': '' by 'mean image'
  image (0.2 0.4) gray (0 0.4)
panel '': '0 to 2' by '50% pruned'
  image (0 2) viridis (0 2)
panel '': '0 to 0' by '90% pruned'
  image (0 0) viridis (0 1)
"""
    assert shown(masks.classes, columns, [0.5, 0.9], "LeNet5") == wanted


def test_kept_weights_of_six_layers_at_most():
    mask = torch.tensor([[True, False], [True, False]])
    networks = {"a": {f"l{number}": mask for number in range(7)}, "b": {"l0": mask[:1]}}
    lines = shown(masks.kept_layers, networks).splitlines()
    left_out = [r"a\n6 of its 7 layers", "", "", "", "", "", "b"]
    names = ["l0 2x2", "l1 2x2", "l2 2x2", "l4 2x2", "l5 2x2", "l6 2x2", "l0 1x2"]
    assert [line for line in lines if "kept'" in line] == [
        rf"panel '{name}\n50.00% kept': '' by '{label}'" for name, label in zip(names, left_out, strict=True)
    ]
    images = [line for line in lines if "image" in line]
    assert images == [*["  image (1 0)/(1 0) viridis (0 1)"] * 6, "  image (1 0) viridis (0 1)"]
    assert lines.count("panel left empty") == 5


def test_kernels_of_the_first_layer():
    weight = torch.tensor([0.0, 2.0, -1.0, 0.5]).view(2, 1, 1, 2)
    said = shown(masks.kernels, {"a": weight})
    black, blue, grey = "0 0 0 1", "0.01961 0.1882 0.3804 1", "0.7333 0.7333 0.7333 1"
    assert said.startswith("title: kernels of the first layer; black: pruned\npanel 'a: 2x1x1x2': '' by ''\n")
    assert f"image ({black} {blue} {grey} " in said  # a pruned weight, the largest, and the gap to the next kernel
    assert "panel '': '' by 'weight'\n  x linear (0 1)\n  y linear (-2 2)\n" in said
    many = torch.ones(3, 96, 1, 1)
    assert "'a: 3x96x1x1, the first 2 outputs'" in shown(masks.kernels, {"a": many})


def test_accuracy_of_networks_that_were_merged():
    row = {"criterion": "l1", "ratio": 0.5, "original": 0.9, "pruned": 0.1, "merged_well": 0.6}
    rows = [row, row | {"ratio": 0.2, "pruned": 0.5}, row | {"criterion": "l2"}]
    wanted = """\
title: LeNet5
panel 'l1': 'channels removed [%]' by 'accuracy [%]'
  line original :None: (0 90) (1 90)
  line pruned -o: (20 50) (50 10)
  line merged well -s: (20 60) (50 60)
panel 'l2': 'channels removed [%]' by ''
  line original :None: (0 90) (1 90)
  line pruned -o: (50 10)
  line merged well -s: (50 60)
legend in 3: original, pruned, merged well
"""
    assert shown(merging.accuracies, rows, ("original", "pruned", "merged_well"), "LeNet5") == wanted


def test_accuracy_and_loss_of_networks_pruned_without_training():
    row = {"sparsity": 0.5, "weight_accuracy": 0.8, "weight_loss": 1, "unit_accuracy": 0.7, "unit_loss": 2}
    rows = [row, row | {"sparsity": 0.25, "unit_loss": 1.5}]
    wanted = """\
title: LeNet5
panel '': 'pruned, without training [%]' by 'test accuracy [%]'
  line weights -o: (25 80) (50 80)
  line units -s: (25 70) (50 70)
panel '': 'pruned, without training [%]' by 'test loss'
  line weights -o: (25 1) (50 1)
  line units -s: (25 1.5) (50 2)
legend in 2: weights, units
"""
    assert shown(sparsification.accuracy_and_loss, rows, "test", "LeNet5") == wanted


def test_speed_by_batch_size():
    dense = {"network": "a", "batch_size": 1, "batch_ms": 2, "images_per_second": 500, "times_as_fast": None}
    more = {"batch_size": 64, "batch_ms": 10, "images_per_second": 6400, "times_as_fast": 2}
    wanted = """\
title: LeNet5
panel '': 'images in a batch' by 'time of a batch [ms]'
  x log 1=1 64=64
  y log
  line a --o: (1 2)
  line b -s: (64 10)
panel '': 'images in a batch' by 'images a second'
  x log 1=1 64=64
  y log
  line a --o: (1 500)
  line b -s: (64 6400)
panel '': 'images in a batch' by 'times as fast as the dense network'
  x log 1=1 64=64
  y linear (0 2.11)
  line a --o:
  line b -s: (64 2)
legend in 2: a, b
"""
    assert shown(speed.speed, [dense, dense | more | {"network": "b"}], {"a"}, "LeNet5") == wanted


def test_what_is_left_of_each_layer_fills_part_of_what_there_was(monkeypatch, tmp_path):
    figures, new_figure = [], sparsification.new_figure
    monkeypatch.setattr(sparsification, "new_figure", lambda *size: figures.append(new_figure(*size)) or figures[-1])
    norms = {"x": torch.tensor([1.0, 2.0, 0.0])}
    steps = {0.0: {"x": torch.tensor([True, True, True])}, 0.5: {"x": torch.tensor([False, True, True])}}
    sparsification.distributions("unit", norms, steps, "LeNet5", tmp_path / "units.gif")
    (axes,) = figures[0].axes
    before, kept = axes.patches
    assert (before.get_label(), kept.get_label()) == ("before", "kept")
    assert before.get_fill()
    assert kept.get_fill()
    assert [int(one.get_data().values.sum()) for one in (before, kept)] == [2, 1]
    assert axes.get_title() == "x: 1 of 3 units"
    assert figures[0].get_suptitle() == "LeNet5: units, k = 50%"


def test_an_image_under_corruptions_is_drawn_from_black_to_white():
    said = shown(corruption.examples, torch.full((1, 1, 8, 8), 0.5), ["contrast", "occlusion"], 1)
    panels = [line for line in said.splitlines() if line.startswith("  image")]
    assert len(panels) == 2 * 6
    assert all(line.endswith(" gray (0 1)") for line in panels)
