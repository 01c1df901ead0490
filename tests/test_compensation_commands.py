"""Original, pruned and merged networks compared without fine-tuning, as in the experiments of neuron merging."""

import json

import pytest

from secateur import cli
from tests.commands import QUICK


def test_a_checkpoint_is_pruned_and_compensated_without_training(tmp_path):
    def results(command):
        assert cli.main([*f"{command} {QUICK} --results_dir {tmp_path}".split()]) == 0
        newest = max(tmp_path.glob("*/output/results.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text())

    original = results("--model LeNet300 --data_set DIGITS --epochs 3 --run_name original")["test_accuracy"]
    (folder,) = tmp_path.glob("*_original")
    for criterion in ("l1-norm", "l2-norm", "l2-gm"):
        command = f"--checkpoint_name {folder} --epochs 0 --prune_criterion {criterion} --pruning_limit 0.8"
        plain, merged, fitted = (
            results(f"{command} --compensate {method}")
            for method in ("none", "merge --merge_threshold 0.1", "least_squares")
        )
        assert plain["node_sparsity"] == merged["node_sparsity"] == fitted["node_sparsity"] == pytest.approx(0.8)
        assert plain["test_loss"] != merged["test_loss"]
        assert plain["test_accuracy"] < fitted["test_accuracy"] <= original
        assert merged["notices"] == fitted["notices"] == []
        repaired = results(f"{command} --repair merge --merge_threshold 0.1")
        assert (repaired["test_loss"], repaired["repairs"]) == (merged["test_loss"], [])
