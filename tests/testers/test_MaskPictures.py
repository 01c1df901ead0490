"""Masks of single classes by hand; what the first layers read, as stored in the checkpoints."""

import csv

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from secateur.measuring.charts import masks as charts
from secateur.pruning.class_masks import snip_masks
from secateur.runs.checkpoint import read_tensors
from secateur.testers.MaskPictures import MaskPictures
from tests.commands import QUICK


def test_snip_of_one_class_keeps_the_pixels_that_the_class_has():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 0.0], [-1.0, 1.0, 2.0, 1.0]]))
    # Logits 1 and -1: dL/dlogits = (-p, p), dL/dw = that times the pixel, which is 0 but at the first and the last.
    images = torch.tensor([1.0, 0.0, 0.0, 0.5]).view(1, 1, 2, 2)
    batch = [(images, torch.tensor([0]))]
    logits = (1.0, -1.0 + 0.5)
    right = torch.tensor(logits).softmax(0)[1]
    scores = right * torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0.5]])
    none, half, most = snip_masks(network, functional.cross_entropy, batch, [0, 0.625, 0.75])
    assert none["1"].all()
    assert half["1"].equal(scores > 0)
    assert most["1"].equal(scores > 0.6 * right)


def test_kernels_of_one_output_stand_side_by_side():
    weight = torch.arange(1.0, 25.0).view(3, 2, 2, 2)  # three outputs of two kernels: two outputs in a row
    grid, gaps = charts.tiled(weight)
    assert grid.shape == (5, 11)
    assert grid[:2, :2].tolist() == [[1, 2], [3, 4]]
    assert grid[:2, 3:5].tolist() == [[5, 6], [7, 8]]
    assert grid[:2, 6:8].tolist() == [[9, 10], [11, 12]]
    assert grid[3:, :2].tolist() == [[17, 18], [19, 20]]
    assert gaps[2].all()
    assert gaps[:, [2, 5, 8]].all()
    assert gaps[3:, 6:].all(), "where there is no fourth output"
    assert int((~gaps).sum()) == 24


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they are when they are saved, by file name."""
    saved, save = {}, Figure.savefig

    def keep(self, path, **options):
        saved[path.name] = self
        save(self, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_pruned_kernels_are_black_and_gaps_grey(tmp_path, drawn):
    weight = torch.tensor([[[[2.0, 0.0], [-2.0, 1.0]]], [[[2.0, 2.0], [2.0, 0.0]]]])
    charts.kernels({"a": weight}, tmp_path / "k.png")
    pixels = torch.tensor(drawn["k.png"].axes[0].images[0].get_array())
    black = (pixels[..., :3] == 0).all(-1)
    assert black.nonzero().tolist() == [[0, 1], [1, 4]]
    assert (pixels[:, 2, :3] == pixels[0, 2, 0]).all()


def test_the_share_that_is_kept_is_drawn_from_nothing_on(tmp_path, drawn):
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[0, 0] = False
    charts.kept_layers({"a": {"layer": mask, "whole": torch.ones(2, 4, dtype=torch.bool)}}, tmp_path / "kept.png")
    panels = [axes for axes in drawn["kept.png"].axes if axes.images]
    assert [axes.get_title() for axes in panels[:2]] == ["layer 2x4\n87.50% kept", "whole 2x4\n100.00% kept"]
    assert [axes.images[0].norm.vmin for axes in panels[:2]] == [0, 0]


def test_deep_networks_show_some_of_their_layers(tmp_path, drawn):
    deep = {f"layer{number}": torch.ones(2, 3, dtype=torch.bool) for number in range(21)}
    charts.kept_layers({"deep": deep, "flat": {"only": torch.eye(2, dtype=torch.bool)}}, tmp_path / "l.png")
    titles = [axes.get_title() for axes in drawn["l.png"].axes if axes.get_title()]
    assert [title.split()[0] for title in titles] == [
        "layer0",
        "layer4",
        "layer8",
        "layer12",
        "layer16",
        "layer20",
        "only",
    ]
    assert titles[-1] == "only 2x2\n50.00% kept"
    assert "6 of its 21 layers" in drawn["l.png"].axes[0].get_ylabel()


def test_pixels_read_and_classes_of_a_linear_first_layer(run, drawn):
    pruned = "--prune_criterion SNIP --pruning_limit 0.99 --outer_layer_pruning"
    sparse = run(f"--model LeNet300 {pruned} --epochs 0 --run_name sparse {QUICK}").folder
    plain = run(f"--model LogisticRegression --epochs 0 --N 64 --run_name plain {QUICK}").folder
    command = f"--eval --test_scheme MaskPictures --mask_sparsities 0.5,0.95 --mask_images 20 {QUICK}"
    tested = run(f"{command} --checkpoint_name {sparse.name},{plain.name}")
    assert tested.status == 0, tested.err
    weights = read_tensors(sparse / "models" / "LeNet300_finished", {})["features.1.weight"]
    read = (weights != 0).sum(0)
    first, second = tested.results["first_layers"]
    assert (first["network"], first["layer"], first["shape"]) == ("sparse", "features.1", "300x64")
    assert first["pixels_read"] == int((read > 0).sum()) < 64
    assert first["weights_kept"] == int(read.sum())
    assert first["density"] == pytest.approx(float((weights != 0).float().mean()))
    assert first["outputs_used"] == int((weights != 0).any(1).sum())
    # DIGITS has pixels that no image uses, yet a fresh dense layer has weights for them.
    assert (second["pixels_read"], second["density"]) == (64, 1)
    with (tested.folder / "output" / "first_layers.csv").open() as file:
        assert [row["network"] for row in csv.DictReader(file)] == ["sparse", "plain"]
    assert set(drawn) == {"mask_pixels.png", "mask_layers.png", "mask_classes.png"}
    shown = torch.tensor(drawn["mask_pixels.png"].axes[0].images[0].get_array())
    assert shown.equal(read.view(8, 8))
    grid = [torch.tensor(axes.images[0].get_array()) for axes in drawn["mask_classes.png"].axes]
    assert len(grid) == 11 * 3, "a mean and two sparsities for ten classes and for all"
    # 5 % of all weights, of which the first layer has its share; single classes differ
    assert all(0 < int(picture.sum()) <= 0.05 * 50_200 for picture in grid[22:])
    assert not grid[22].equal(grid[23])
    assert not any("no pictures of single classes" in notice for notice in tested.results["notices"])


def test_so_many_images_of_each_class_are_looked_at(run, make_run):
    folder = run(f"--model LogisticRegression --epochs 0 --N 200 {QUICK}").folder
    tested = make_run(f"--eval --test_scheme MaskPictures --mask_images 7 --checkpoint_name {folder} --N 200")
    positions = MaskPictures(tested).positions(range(10))
    labels = tested.data.train.images.labels
    for number in range(10):
        own = positions[f"class {number}"]
        assert len(set(own.tolist())) == 7
        assert (labels[own] == number).all()
    assert torch.equal(positions["all"], torch.cat([positions[f"class {number}"] for number in range(10)]))
    few = make_run(f"--eval --test_scheme MaskPictures --checkpoint_name {folder} --N 200")
    assert len(MaskPictures(few).positions(range(10))["all"]) == 200  # there are no 100 of each


def test_kernels_of_a_convolution_and_no_single_classes(run, drawn):
    folder = run(f"--model LeNet5 --data_set RUBBISH --input_dim 3 28 28 --epochs 0 --N 64 {QUICK}").folder
    tested = run(f"--eval --test_scheme MaskPictures --checkpoint_name {folder.name} {QUICK}")
    assert tested.status == 0, tested.err
    [row] = tested.results["first_layers"]
    assert row["pixels_read"] is None
    assert row["shape"].endswith("x3x5x5")
    assert set(drawn) == {"mask_kernels.png", "mask_layers.png"}
    assert any("no pictures of single classes" in notice for notice in tested.results["notices"])
    refused = run("--eval --test_scheme MaskPictures --mask_sparsities 0.5,1 --checkpoint_name latest")
    assert "1 is out of range: at least 0 and below 1" in refused.err
