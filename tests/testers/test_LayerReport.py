"""What is left of each layer, in numbers worked by hand."""

import csv

import pytest
import torch
from matplotlib.figure import Figure

from secateur.measuring.charts.layers import layer_sparsity
from secateur.measuring.layers import WHOLE, layer_figures, weight_histograms
from secateur.runs.checkpoint import save_checkpoint
from secateur.testers.LayerReport import LayerReport
from tests.commands import QUICK

SMALL = "--model LeNet300 --data_set RUBBISH --input_dim 1 8 8 --N 64"


@pytest.fixture
def halved(make_run):
    """An evaluation of a network of 64, 300, 100 and 10 whose first layer has lost half of its neurons.

    One of its classes has lost all weights; the others' are 0.5, but for one of -1.
    """
    trained = make_run(f"{SMALL} --epochs 0")
    trained.network.classifier.weight.data.fill_(0.5)
    trained.network.classifier.weight.data[9, 0] = -1
    first, last = torch.ones(300, 64, dtype=torch.bool), torch.ones(10, 100, dtype=torch.bool)
    first[150:] = False
    last[3] = False
    trained.masks.set({"features.1": first, "classifier": last})
    save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
    return make_run(f"--eval --test_scheme LayerReport --checkpoint_name {trained.folder.path}")


def test_the_figures_of_each_layer_and_of_the_whole(halved):
    rows = layer_figures(halved)
    columns = (
        "layer",
        "weights",
        "weights_kept",
        "sparsity",
        "flops",
        "flops_effective",
        "outputs",
        "outputs_kept",
        "left_out",
    )
    assert all(tuple(row) == columns for row in rows)
    assert [tuple(row.values()) for row in rows] == [
        ("features.1", 19_200, 9_600, 0.5, 38_400, 19_200, 300, 150, ""),
        ("features.3", 30_000, 30_000, 0.0, 60_000, 60_000, 100, 100, ""),
        ("classifier", 1_000, 900, pytest.approx(0.1), 2_000, 1_800, 10, 9, ""),
        (WHOLE, 50_200, 40_500, pytest.approx(9_700 / 50_200), 100_400, 81_000, 410, 259, ""),
    ]
    halved.masks.weights["features.3"].data[7, 1:] = 0  # one weight is enough to keep an output
    row = layer_figures(halved)[1]
    assert (row["weights_kept"], row["outputs_kept"]) == (29_701, 100)


def test_the_histograms_hold_every_weight_but_zeros_which_are_counted(halved):
    histograms = weight_histograms(halved.compared)
    (label,) = halved.compared
    assert list(histograms) == ["features.1", "features.3", "classifier"]
    for name, gone in (("features.1", 9_600), ("features.3", 0), ("classifier", 100)):
        histogram = histograms[name]
        assert histogram.gone[label] == gone
        assert sum(histogram.counts[label]) == halved.dense.sizes[name] - gone
    counts, edges = histograms["classifier"].counts[label], histograms["classifier"].edges
    assert counts[0] == 1  # -1
    (place,) = [number for number, count in enumerate(counts) if count == 899]
    assert edges[place] <= 0.5 <= edges[place + 1]


def test_one_network_is_reported_alone(halved):
    results = LayerReport(halved).evaluate()
    assert list(results["layers"].values()) == [layer_figures(halved)]
    assert "test_accuracy" in results
    assert (halved.folder.output / "layer_weights.png").is_file()


def test_networks_are_reported_side_by_side_whether_weights_or_channels_went(run):
    folders = [
        run(f"{SMALL} --epochs 0 --pruning_limit .5 --prune_criterion {criterion} --run_name {name} {QUICK}").folder
        for criterion, name in (("L1Norm", "channels"), ("Magnitude --distribution uniform", "weights"))
    ]
    names = ",".join(folder.name for folder in folders)
    tested = run(f"--eval --test_scheme LayerReport --checkpoint_name {names} {QUICK}")
    assert tested.status == 0, tested.err
    output = tested.folder / "output"
    with (output / "layers.csv").open() as file:
        rows = {(row.pop("network"), row.pop("layer")): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    # Half of the 300 are gone, half of the 100, and with them what reads them.
    channels = {layer: rows["channels", layer] for layer in ("features.1", "features.3", "classifier")}
    assert [int(row["weights_kept"]) for row in channels.values()] == [9_600, 7_500, 500]
    assert [float(row["sparsity"]) for row in channels.values()] == [0.5, 0.75, 0.5]
    assert [int(row["outputs"]) for row in channels.values()] == [300, 100, 10]
    assert [int(row["outputs_kept"]) for row in channels.values()] == [150, 50, 10]
    assert [int(row["flops_effective"]) for row in channels.values()] == [19_200, 15_000, 1_000]
    with (output / "layer_sparsity.csv").open() as file:
        side_by_side = list(csv.DictReader(file))
    assert [row["layer"] for row in side_by_side] == ["features.1", "features.3", "classifier", WHOLE]
    for row in side_by_side:
        for name in ("channels", "weights"):
            assert row[name] == rows[name, row["layer"]]["sparsity"]
    assert float(side_by_side[1]["weights"]) == 0.5
    assert {path.name for path in output.glob("layer_*.png")} == {"layer_sparsity.png", "layer_weights.png"}


def test_the_figure_of_sparsities_shows_them_and_lost_layers_at_its_top(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    kept = {"one": {"a": 1.0, "b": 0.02, "c": 0.0}, "two": {"a": 0.5, "d": 0.1}}
    layer_sparsity(kept, "title", tmp_path / "picture.png")
    (axes,) = drawn[0].axes
    one, two = axes.lines
    assert one.get_ydata()[:2].tolist() == [1.0, 0.02]
    assert (two.get_xdata().tolist(), two.get_ydata().tolist()) == ([0, 3], [0.5, 0.1])
    ticks = dict(zip((tick.get_text() for tick in axes.get_yticklabels()), axes.get_yticks(), strict=True))
    assert ticks["100"] == one.get_ydata()[2]
    assert (ticks["50"], ticks["98"]) == pytest.approx((0.5, 0.02))
    bottom, top = axes.get_ylim()
    assert bottom > 1 > ticks["98"] > ticks["100"] > top
