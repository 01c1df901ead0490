"""The figures show the numbers they are given, with labelled axes, and end as pictures."""

import itertools
import types

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from secateur.utils import drawing


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they were when they were saved; they are saved all the same."""
    saved, save = [], Figure.savefig

    def keep(self, *args, **kwargs):
        saved.append(self)
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def picture(path):
    """The colours of a picture, which must not be a blank page."""
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[2] in (3, 4)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 5
    return pixels


def row(epoch, **changes):
    return {
        "epoch": epoch,
        "train_loss": 1.0 / epoch,
        "train_accuracy": 0.5,
        "test_loss": 2.0 / epoch,
        "test_accuracy": 0.25,
        "weight_sparsity": 0.9,
        "node_sparsity": 0.1,
        **changes,
    }


def lines(axes):
    return {line.get_label(): [tuple(map(float, point)) for point in line.get_xydata()] for line in axes.lines}


def test_curves_show_losses_and_shares_in_per_cent(tmp_path, drawn):
    rows = [row(1), row(2, test_loss=None, test_accuracy=None), row(4, train_accuracy=0.75)]
    drawing.curves(rows, "test", "LeNet5 on MNIST", tmp_path / "curves.png")
    loss, accuracy, sparsity = drawn[0].axes
    assert lines(loss) == {"train": [(1, 1), (2, 0.5), (4, 0.25)], "test": [(1, 2), (4, 0.5)]}
    assert lines(accuracy) == {"train": [(1, 50), (2, 50), (4, 75)], "test": [(1, 25), (4, 25)]}
    assert lines(sparsity) == {"weights": [(1, 90), (2, 90), (4, 90)], "units": [(1, 10), (2, 10), (4, 10)]}
    for axes in (loss, accuracy, sparsity):
        assert axes.get_xlabel() == "epoch"
        assert len(axes.get_legend().get_texts()) == 2
    assert (loss.get_ylabel(), accuracy.get_ylabel(), sparsity.get_ylabel()) == ("loss", "accuracy [%]", "pruned [%]")
    assert drawn[0].get_suptitle() == "LeNet5 on MNIST"
    picture(tmp_path / "curves.png")


def test_curves_of_one_epoch_that_was_never_tested(tmp_path, drawn):
    drawing.curves([row(1, validation_loss=None, validation_accuracy=None)], "validation", "x", tmp_path / "c.png")
    assert lines(drawn[0].axes[0]) == {"train": [(1, 1)]}
    picture(tmp_path / "c.png")


def test_confusion_shows_shares_of_each_true_class_and_the_accuracy(tmp_path, drawn):
    counts = torch.tensor([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    drawing.confusion(counts, "LeNet5 on MNIST", tmp_path / "confusion.png")
    axes, bar = drawn[0].axes
    shares = np.asarray(axes.images[0].get_array())
    assert shares.tolist() == [[75, 25, 0], [0, 0, 0], [50, 0, 50]]
    assert axes.images[0].get_clim() == (0, 100)
    # Numbers where there are images: 3 and 1 in the first row, 2 and 2 in the last; x is the predicted class.
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "3", (1, 0): "1", (0, 2): "2", (2, 2): "2"}
    assert axes.get_title() == "LeNet5 on MNIST: 62.50% right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert "%" in bar.get_ylabel()
    picture(tmp_path / "confusion.png")


def test_confusion_of_many_classes_leaves_the_numbers_out(tmp_path, drawn):
    drawing.confusion(torch.eye(100, dtype=torch.int64) * 4, "x", tmp_path / "confusion.png")
    assert not drawn[0].axes[0].texts
    assert "100.00% right" in drawn[0].axes[0].get_title()
    picture(tmp_path / "confusion.png")


def test_confusion_of_no_image_at_all(tmp_path, drawn):
    drawing.confusion(torch.zeros(2, 2, dtype=torch.int64), "x", tmp_path / "confusion.png")
    assert "0.00% right" in drawn[0].axes[0].get_title()


def step(number, **changes):
    fields = {"title": f"step {number}", "at_zero": 0, "edges": [-2.0, -1.0, 0.0], "kept": [0, 8], "pruned": [5, 1]}
    fields |= {"unit": "units", "scale": "log10 of the score"}
    return types.SimpleNamespace(**{**fields, **changes})


def stairs(axes):
    return {patch.get_label(): patch.get_data() for patch in axes.patches}


def test_score_histograms_show_kept_and_pruned_of_each_step(tmp_path, drawn):
    steps = [step(0, at_zero=1234), step(1, kept=[0, 0])]
    drawing.score_histograms(steps, "SNIP", tmp_path / "saliency.png")
    [figure] = drawn
    assert [axes.get_title() for axes in figure.axes] == ["step 0\nwithout 1,234 of score 0", "step 1"]
    found = stairs(figure.axes[0])
    assert found["kept"].values.tolist() == [0, 8]
    assert found["pruned"].values.tolist() == [5, 1]
    assert found["kept"].edges.tolist() == [-2, -1, 0]
    assert not any(axes.texts for axes in figure.axes)  # over bars
    assert figure.get_suptitle().startswith("SNIP")
    assert [axes.get_xlabel() for axes in figure.axes] == ["log10 of the score"] * 2
    assert [axes.get_ylabel() for axes in figure.axes] == ["units", ""]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["pruned", "kept"]
    picture(tmp_path / "saliency.png")


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (5, 5), (13, 12), (100, 12)])
def test_score_histograms_of_many_steps_show_the_first_the_last_and_some_between(tmp_path, drawn, count, panels):
    drawing.score_histograms([step(number) for number in range(count)], "SNIPit", tmp_path / "saliency.png")
    shown = [int(axes.get_title().split()[1]) for axes in drawn[0].axes if axes.axison]
    assert len(shown) == panels
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, count - 1)
    gaps = [after - before for before, after in itertools.pairwise(shown)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_layers_left_shows_what_is_kept_of_each_layer(tmp_path, drawn):
    sizes, nonzero = {"features.0": 500, "features.3": 25_000, "classifier": 5000}, [500, 25, 0]
    drawing.layers_left(sizes, dict(zip(sizes, nonzero, strict=True)), "LeNet5", tmp_path / "layers.png")
    [axes] = drawn[0].axes
    dense, kept = axes.containers
    assert [bar.get_width() for bar in dense] == [500, 25_000, 5000]
    assert [bar.get_width() for bar in kept] == [500, 25, 0]
    assert [to_hex(bars[0].get_facecolor()).upper() for bars in (dense, kept)] == [drawing.GREY, drawing.BLUE]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(sizes)
    assert [text.get_text().strip() for text in axes.texts] == ["100%", "0.1%", "0%"]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[1] > 25_000
    assert axes.yaxis_inverted(), "the first layer stands on top"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["dense", "kept"]
    picture(tmp_path / "layers.png")


def test_weight_maps_show_outputs_down_and_inputs_across(tmp_path, drawn):
    weights = {
        "features.0": torch.arange(12.0).view(2, 3, 1, 2) - 4,
        "classifier": torch.tensor([[0.0, -0.5], [0.25, 0.0], [0.0, 0.0]]),
        "empty": torch.zeros(2, 2),
    }
    drawing.weight_maps(weights, "LeNet5", tmp_path / "weights.png")
    panels = {axes.get_title(): axes for axes in drawn[0].axes if axes.get_title()}
    assert list(panels) == ["features.0 (2, 3, 1, 2)", "classifier (3, 2)", "empty (2, 2)"]
    first, classifier, empty = (axes.images[0] for axes in panels.values())
    assert np.asarray(first.get_array()).tolist() == [[-4, -3, -2, -1, 0, 1], [2, 3, 4, 5, 6, 7]]
    # Zero is in the middle of the colours, whatever the weights are.
    assert first.get_clim() == (-7, 7)
    assert np.asarray(classifier.get_array()).tolist() == weights["classifier"].tolist()
    assert classifier.get_clim() == (-0.5, 0.5)
    assert empty.get_clim() == (-1, 1)
    picture(tmp_path / "weights.png")


def test_large_weights_are_averaged_down(tmp_path, drawn):
    weight = torch.arange(512.0).repeat(4, 1)
    drawing.weight_maps({"layer": weight}, "x", tmp_path / "weights.png")
    shown = np.asarray(drawn[0].axes[0].images[0].get_array())
    assert shown.shape == (4, 256)
    # Means of neighbours: (0 + 1) / 2, (2 + 3) / 2, ...
    assert shown[0].tolist() == [2 * column + 0.5 for column in range(256)]
