"""Runs that remove channels, from end to end: trained, kept, evaluated in another process, and pruned again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from secateur import cli
from secateur.runs import execute
from secateur.runs.assemble import assemble
from secateur.runs.files import read_checksummed, write_checksummed
from tests.commands import QUICK

ROOT = Path(__file__).parents[2]
SMALL = f"--data_set DIGITS --N 48 --batch_size 16 --eval_freq 0 {QUICK}"


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Call main.main; returns the run, its results and the status; and stderr where there is one."""
    runs = []

    def keep(*parts):
        runs.append(assemble(*parts))
        return runs[-1]

    monkeypatch.setattr(execute, "assemble", keep)

    def start(command):
        status = cli.main([*command.split(), "--results_dir", str(tmp_path)])
        err = capsys.readouterr().err
        if status:
            return status, err
        return runs[-1], json.loads((runs[-1].folder.output / "results.json").read_text())

    return start


AGAIN = """
import sys
import torch
from secateur import cli
from secateur.runs import execute
from secateur.runs.assemble import assemble
torch.set_num_threads(1)
runs = []
def keep(*parts):
    runs.append(assemble(*parts))
    return runs[-1]
execute.assemble = keep
for name in sys.argv[2:]:
    words = ["--eval", "--batch_size", "16", "--checkpoint_name", name, "--run_name", "again_" + name]
    status = cli.main([*words, "--results_dir", sys.argv[1]])
    assert status == 0, status
    inputs, _ = next(iter(runs[-1].data.held_out))
    with torch.no_grad():
        torch.save(runs[-1].network.eval()(inputs), sys.argv[1] + "/" + name + ".pt")
"""


@torch.no_grad()
def logits(run):
    inputs, _ = next(iter(run.data.held_out))
    return run.network.eval()(inputs)


@pytest.mark.slow
def test_a_smaller_network_is_trained_kept_evaluated_and_pruned_again(run, tmp_path):
    command = f"--model ResNet18 --prune_criterion SNAPit {SMALL}"
    first, results = run(f"{command} --pruning_limit 0.93 --epochs 1")
    assert results["node_sparsity"] == pytest.approx(0.93, abs=0.005)
    assert sum(parameter.numel() for parameter in first.network.parameters()) < 0.05 * results["parameters_dense"]
    second, further = run(f"{command} --pruning_limit 0.97 --epochs 1 --checkpoint_name latest")
    assert further["node_sparsity"] == pytest.approx(0.97, abs=0.005)
    assert further["parameters_dense"] == results["parameters_dense"]
    assert len(second.removed) > len(first.removed) > 0
    names = [one.folder.path.name for one in (first, second)]
    words = [sys.executable, "-c", AGAIN, str(tmp_path), *names]  # a process of its own
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, trained, expected in zip(names, (first, second), (results, further), strict=True):
        (again,) = tmp_path.glob(f"*_again_{name}/output/results.json")
        found = json.loads(again.read_text())
        assert found["test_accuracy"] == expected["test_accuracy"]
        assert found["test_loss"] == expected["test_loss"]
        assert torch.load(tmp_path / f"{name}.pt").equal(logits(trained))


def halve_the_last(cuts):
    cuts[-1][-1][1] = cuts[-1][-1][1][::2]
    return cuts


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda cuts: "all", "its cuts is 'all'"),
        (lambda cuts: [[["features.0", [-1]]]], "its cuts is"),
        (lambda cuts: [], "is of another network"),
        (halve_the_last, "is of another network"),
        (lambda cuts: [[["nowhere", [0]]]], "removes channels that are not there"),
        (lambda cuts: [[[cuts[0][0][0], [10_000]]]], "removes channels that are not there"),
        (lambda cuts: [[[cuts[0][0][0], [3, 3]]]], "removes channels that are not there"),
        (lambda cuts: cuts * 2, "removes channels that are not there"),
    ],
)
def test_a_tampered_record_of_removed_channels_is_refused_in_one_line(run, tamper, said):
    trained, _ = run(f"--model LeNet300 --prune_criterion SNAP --pruning_limit 0.9 --epochs 0 {SMALL}")
    path = trained.folder.models / "LeNet300_finished.json"
    metadata = read_checksummed(path)
    write_checksummed(path, metadata | {"cuts": tamper(metadata["cuts"])})
    status, err = run("--eval --checkpoint_name latest")
    assert status == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
