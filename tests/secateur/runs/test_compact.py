"""Runs keep the compacted network beside the finished one."""

import pytest

from secateur.runs.checkpoint import read_tensors
from tests.commands import QUICK

SMALL = f"--N 96 --batch_size 32 --eval_freq 0 {QUICK}"


@pytest.fixture
def run(run):
    """Call main.main; returns the results, the run folder and the output."""

    def start(command):
        outcome = run(f"{command} {SMALL}")
        assert outcome.status == 0, outcome.err
        return outcome.results, outcome.folder, outcome.out

    return start


PRUNED = "--model LeNet300 --prune_criterion SNIPit --pruning_limit 0.98 --outer_layer_pruning --epochs 2"


def test_a_run_keeps_the_compact_network_beside_the_finished_one(run):
    results, folder, out = run(PRUNED)
    compact = results["compact"]
    tensors = read_tensors(folder / "models" / "LeNet300_compact", {})
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("masks/")}
    assert compact["parameters"] == sum(tensor.numel() for tensor in weights.values()) < results["parameters_dense"]
    assert compact["flops"] == 2 * sum(tensor.numel() for tensor in weights.values() if tensor.dim() == 2)
    assert compact["nodes_removed"] == 400 - sum(len(weights[f"features.{layer}.bias"]) for layer in (1, 3))
    assert f"{compact['parameters']:,} parameters, {compact['flops']:,} FLOPs a sample" in out

    name = folder.name
    finished, _, _ = run(f"--eval --checkpoint_name {name}")
    smaller, _, out = run(f"--eval --checkpoint_name {name} --checkpoint_model LeNet300_compact")
    left, dense = smaller["flops_effective"], smaller["flops_dense"]
    assert f"{left:,} of {dense:,} FLOPs a sample, effective" in out
    assert smaller["test_loss"] == pytest.approx(finished["test_loss"], rel=1e-5)
    assert smaller["test_accuracy"] == finished["test_accuracy"]

    further, _, _ = run(f"--checkpoint_name {name} --checkpoint_model LeNet300_compact --epochs 1")
    assert further["weight_sparsity"] == smaller["weight_sparsity"]
    assert further["notices"] == []


def test_a_run_that_is_asked_not_to_keeps_no_compact_network(run):
    results, folder, out = run(f"{PRUNED} --no-compact")
    assert results["compact"] is None
    assert not list(folder.glob("models/*compact*"))
    assert "compacted" not in out


def test_a_run_without_masks_has_nothing_to_compact(run):
    results, folder, _ = run("--model LeNet300 --epochs 1")
    assert results["compact"] is None
    assert not list(folder.glob("models/*compact*"))


def test_a_network_that_would_compute_something_else_is_told_and_not_kept(run, monkeypatch):
    monkeypatch.setattr("secateur.runs.compact.difference", lambda *_: 0.25)
    results, folder, out = run(PRUNED)
    notice = "the network was not compacted: its outputs would differ by 2.5e-01"
    assert results["notices"] == [notice]
    assert notice in out
    assert not list(folder.glob("models/*compact*"))
