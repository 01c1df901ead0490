"""Ratios and throughput of times that the test sets; what is said of masks."""

import csv

import pytest
import torch

from secateur.measuring import latency
from tests.commands import QUICK

#: Milliseconds of a batch, by width of the first hidden layer: LeNet300's is 300.
MS_WHEN_DENSE, MS_WHEN_SMALLER = 4.0, 1.0


@pytest.fixture
def clocked(monkeypatch):
    """What was asked of the clock, which answers by the network's size."""
    asked = []

    def median_seconds(networks, images, budget):
        asked.append((list(networks), len(images), budget))
        return {
            name: (MS_WHEN_DENSE if network.features[1].out_features == 300 else MS_WHEN_SMALLER) / 1000
            for name, network in networks.items()
        }

    monkeypatch.setattr(latency, "median_seconds", median_seconds)
    return asked


def table(tested):
    with (tested.folder / "output" / "speed.csv").open() as file:
        return {(row["network"], int(row["batch_size"])): row for row in csv.DictReader(file)}


def test_removed_channels_are_compared_with_the_dense_network(run, clocked):
    common = f"--model LeNet300 --epochs 0 --N 64 {QUICK}"
    small = run(f"{common} --prune_criterion L1Norm --pruning_limit 0.5 --run_name small").folder
    plain = run(f"{common} --run_name plain").folder
    clocked.clear()
    command = "--eval --test_scheme Speed --speed_batch_sizes 8,2 --speed_seconds 0.5"
    tested = run(f"{command} --checkpoint_name {small.name},{plain.name} {QUICK}")
    assert tested.status == 0, tested.err
    names = ["LeNet300, dense", "small", "plain"]
    assert clocked[:2] == [(names, 2, 1.5), (names, 8, 1.5)], "half a second a network, small batches first"
    rows = table(tested)
    assert set(rows) == {(name, size) for name in names for size in (2, 8)}
    for name, milliseconds, ratio in ((names[0], 4, 1), ("small", 1, 4), ("plain", 4, 1)):
        assert float(rows[name, 8]["batch_ms"]) == pytest.approx(milliseconds)
        assert float(rows[name, 8]["images_per_second"]) == pytest.approx(8000 / milliseconds)
        assert float(rows[name, 8]["times_as_fast"]) == pytest.approx(ratio)
    assert [float(rows[name, 8]["flops_ratio"]) for name in (names[0], "plain")] == [1, 1]
    assert tested.results["threads"] == torch.get_num_threads()
    assert len(tested.results["speed"]) == 6
    assert not any("computes the zeros" in notice for notice in tested.results["notices"])
    assert (tested.folder / "output" / "speed.png").stat().st_size > 10_000


def test_masks_gain_nothing_and_the_notice_names_the_compact_network(run, clocked):
    pruned = "--prune_criterion SNIP --pruning_limit 0.98 --outer_layer_pruning"
    folder = run(f"--model LeNet300 --epochs 0 --N 64 {pruned} --run_name masked {QUICK}").folder
    assert (folder / "models" / "LeNet300_compact.json").exists()
    command = f"--eval --test_scheme Speed --speed_batch_sizes 1 --checkpoint_name {folder.name} {QUICK}"
    [notice] = [notice for notice in run(command).results["notices"] if "computes the zeros" in notice]
    assert notice.startswith("masked computes the zeros of its masks")
    assert "--checkpoint_model LeNet300_compact is the same function" in notice

    both = run(f"{command} --checkpoint_model LeNet300_finished,LeNet300_compact")
    assert both.status == 0, both.err
    rows = table(both)
    assert float(rows["masked/LeNet300_finished", 1]["times_as_fast"]) == pytest.approx(1)
    assert float(rows["masked/LeNet300_compact", 1]["times_as_fast"]) == pytest.approx(4)
    assert sum("computes the zeros" in notice for notice in both.results["notices"]) == 1
    fewer = both.results["flops_dense"] / both.results["flops_effective"]
    assert float(rows["masked/LeNet300_finished", 1]["flops_ratio"]) == pytest.approx(fewer)
    assert float(rows["masked/LeNet300_finished", 1]["realised"]) == pytest.approx(1 / fewer)

    for path in (folder / "models").glob("LeNet300_compact.*"):
        path.unlink()
    [notice] = [notice for notice in run(command).results["notices"] if "computes the zeros" in notice]
    assert "--checkpoint_model" not in notice


def test_a_batch_that_would_take_too_long_has_no_figures(run, clocked, monkeypatch):
    monkeypatch.setattr(latency, "LONGEST", 1.0)
    folder = run(f"--model LeNet300 --epochs 0 --N 64 --run_name plain {QUICK}").folder
    command = f"--eval --test_scheme Speed --speed_batch_sizes 1,1000 --checkpoint_name {folder.name} {QUICK}"
    rows = table(tested := run(command))
    assert float(rows["plain", 1]["batch_ms"]) == pytest.approx(4)
    assert rows["plain", 1000]["batch_ms"] == rows["plain", 1000]["times_as_fast"] == ""
    assert tested.results["speed"][-1]["images_per_second"] is None
