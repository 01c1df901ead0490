"""Run folders as a report reads them, written by hand."""

import json

import pytest

from secateur.reports.collect import collect
from secateur.reports.groups import group

SETTINGS = {
    "model": "LeNet300",
    "data_set": "DIGITS",
    "pruning_limit": 0.9,
    "pre_epochs": 0,
    "epochs": 2,
    "batch_size": 64,
    "optimizer": "ADAM",
    "learning_rate": 0.002,
    "snip_steps": 5,
    "precision": "float32",
    "eval": False,
}

#: Half as slow as the dense network for one image, at a quarter for 64.
FAST = {
    "latency_ms_batch_1": 1.0, "latency_dense_ms_batch_1": 2.0,
    "latency_ms_batch_64": 5.0, "latency_dense_ms_batch_64": 20.0,
}  # fmt: skip


@pytest.fixture
def make_run_folder(tmp_path):
    """Write a run folder: its criterion and seed, its results but the named ones, and settings unlike `SETTINGS`."""

    def make(criterion, seed, accuracy=0.5, results=None, **settings):
        folder = tmp_path / "results" / f"{criterion}_{seed}_{len(list(tmp_path.glob('results/*')))}".replace("/", "-")
        output = folder / "output"
        output.mkdir(parents=True)
        settings = {**SETTINGS, "prune_criterion": criterion, "seed": seed, **settings}
        limit = settings["pruning_limit"]
        found = {
            "model": settings["model"],
            "data_set": settings["data_set"],
            "prune_criterion": criterion,
            "test_accuracy": accuracy,
            "weight_sparsity": limit,
            "node_sparsity": 0.0,
            "flops_effective": round(1000 * (1 - limit)),
            "seconds_testing": 0.5,
            "layer_densities": {"first": 1 - limit, "last": 1 - limit},
            **(results or {}),
        }
        (output / "arguments.json").write_text(json.dumps(settings))
        (output / "environment.json").write_text(json.dumps({"git_commit": "abc", "packages": {"torch": "2"}}))
        (output / "results.json").write_text(json.dumps(found))
        (output / "calling_command.txt").write_text(f"python3 main.py --seed {seed}\n# called elsewhere\n")
        (output / "log.txt").write_text("2026-01-01 the run begins\n")
        (output / "metrics.csv").write_text("epoch,train_loss,train_accuracy\n1,2.0,0.2\n2,1.0,0.4\n")
        return folder

    return make


@pytest.fixture
def groups(make_run_folder, tmp_path):
    """SNIP with two seeds at 10x and one at 20x, CNIP at 10x, and the dense network."""
    for seed, accuracy in ((1, 0.5), (2, 0.7)):
        make_run_folder("SNIP", seed, accuracy, FAST)
    make_run_folder("SNIP", 1, 0.4, pruning_limit=0.95)
    make_run_folder("CNIP", 1, 0.55)
    dense = {"weight_sparsity": 0.0, "flops_effective": 1000, "layer_densities": {"first": 1.0, "last": 1.0}}
    make_run_folder("EmptyCrit", 1, 0.9, dense)
    return group(collect([tmp_path])[0])
