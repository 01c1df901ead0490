"""One run on two processes, as torchrun starts them: the numbers, the files and the errors of one process."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tests.commands import QUICK, results

ROOT = Path(__file__).parent.parent

#: Batch norm, augmentation, batches of 31, 31 and 32 images.
IMAGES = "--model ResNet20 --data_set RUBBISH --rubbish_images 94 --input_dim 3 8 8 --batch_size 31"
# A slow rate: a ReLU that rounding flips changes the loss of such a network by 1e-4 in two fast steps.
IMAGES += " --optimizer SGD --learning_rate 0.002"
#: Batch norm; batches of 50, the last of 25.
VECTORS = "--model MLP5 --hidden_dim 12 --N 275 --batch_size 50 --optimizer SGD --learning_rate 0.05"
#: What gives the same numbers, up to rounding.
ALIKE = {
    "SNIP": f"{IMAGES} --epochs 2 --prune_criterion SNIP --pruning_limit 0.8 --outer_layer_pruning --channels_last "
    "--whitening",
    # Of few weights: two of the 270,000 scores of ResNet20, which cancel, change places on AVX2 and not on AVX-512.
    "GRASP": f"{VECTORS} --epochs 2 --prune_criterion GRASP --pruning_limit 0.8",
    "SNAPit": f"{IMAGES} --epochs 2 --prune_criterion SNAPit --pruning_limit 0.5",
    "SNAPitDuring": f"{VECTORS} --epochs 4 --prune_criterion SNAPitDuring --snip_steps 1 --pruning_limit 0.4",
    "SNIPitDuring": f"{VECTORS} --learning_rate 0.005 --epochs 4 --prune_criterion SNIPitDuring --snip_steps 1 "
    "--pruning_limit 0.7",
    "RigL": f"{VECTORS} --epochs 3 --prune_criterion RigL --update_steps 4 --pruning_limit 0.6",
    "MovementPruning": f"{VECTORS} --epochs 4 --prune_criterion MovementPruning --snip_steps 2 --l1_reg 1e-4",
    "GateDecorators": f"{VECTORS} --epochs 4 --prune_criterion GateDecorators --snip_steps 2 --tick_epochs 1 "
    "--tock_epochs 1 --pruning_limit 0.3",
    "TaylorFO": f"{VECTORS} --pre_epochs 1 --epochs 1 --prune_criterion TaylorFO --pruning_limit 0.3 "
    "--compensate least_squares",
    "IMP": f"{VECTORS} --epochs 3 --prune_criterion IMP --snip_steps 2 --enable_rewinding --grad_noise 0.01",
    "streamed": "--model LeNet300 --data_set IMAGEFOLDER --data_dir {folder}/pictures --image_size 12 --batch_size 5 "
    "--epochs 2 --optimizer SGD --learning_rate 0.01 --prune_criterion SNIP",
}
#: What draws random numbers for each image, and what rounds coarsely: alike in distribution.
OTHERWISE = {
    "L0": f"{VECTORS} --epochs 2 --l0 --l0_reg 1e-3",
    "bf16": f"{VECTORS} --epochs 2 --prune_criterion SNIP --precision bf16 --max_training_minutes 60",
}


def torchrun(*words, **options):
    """Start two processes of a program of the tests' folder, or of main.py; returns what `subprocess.run` does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *words]
    settings = {"cwd": ROOT, "env": os.environ | {"OMP_NUM_THREADS": "1"}, "text": True, **options}
    if settings.pop("wait", True):
        return subprocess.run(command, capture_output=True, timeout=570, check=False, **settings)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)


def own_lines(err):
    """What was written to standard error by main.py: the traceback that torchrun itself ends by is not."""
    ours = re.sub(r'Traceback \(most recent call last\):\n  File "<frozen runpy>".*', "", err, flags=re.DOTALL)
    return re.findall(r"^(?:error: .*|interrupted|Traceback.*)$", ours, re.MULTILINE)


def make_pictures(folder):
    """Random photographs, 13 a class for training and 4 for testing."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 13), ("test", 4)):
        for name in ("cat", "dog"):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (14, 14, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")


def files(folder):
    """The files of a run folder, but those whose names hold the time."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("progress/")}


def finished(folder):
    """The masks of the finished network and what was cut from it."""
    (path,) = folder.glob("models/*_finished.safetensors")
    tensors = load_file(path)
    masks = {name: mask for name, mask in tensors.items() if name.startswith("masks/")}
    return masks, json.loads(path.with_suffix(".json").read_text())["cuts"]


def test_two_processes_prune_and_train_as_one_does(run, tmp_path):
    make_pictures(tmp_path / "pictures")
    commands = {name: f"{words.format(folder=tmp_path)} {QUICK}" for name, words in (ALIKE | OTHERWISE).items()}
    lines = [f"{words} --results_dir {tmp_path}/two/{name}" for name, words in commands.items()]
    (tmp_path / "commands").write_text("\n".join(lines))
    outcome = torchrun("tests/parallel_runs.py", "runs", str(tmp_path / "commands"))
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-5000:]
    assert outcome.stdout.count("run folder: ") == len(commands)
    assert "Traceback" not in outcome.stderr
    for name in ALIKE:
        (two,) = (tmp_path / "two" / name).iterdir()
        one = run(commands[name])
        assert one.status == 0, one.err
        assert files(two) == files(one.folder), name
        assert len(list((two / "progress").iterdir())) == len(list((one.folder / "progress").iterdir())), name
        (masks, cuts), (expected, expected_cuts) = finished(two), finished(one.folder)
        assert cuts == expected_cuts, name
        assert masks.keys() == expected.keys(), name
        assert masks or cuts, name
        assert all(masks[layer].equal(expected[layer]) for layer in masks), name
        found, wanted = results(two), one.results
        for figure in ("train_loss", "test_loss"):
            assert found[figure] == pytest.approx(wanted[figure], abs=1e-4), (name, figure)
        for figure in ("train_accuracy", "test_accuracy", "weight_sparsity", "flops_training_total"):
            assert found[figure] == wanted[figure], (name, figure)
    for name in OTHERWISE:
        (two,) = (tmp_path / "two" / name).iterdir()
        assert results(two)["epochs"] == 2
        assert results(two)["test_loss"] < 2.4


def test_what_is_no_training_of_one_run_is_refused_in_one_line(tmp_path):
    words = f"--model LeNet300 --seed 1,2 --results_dir {tmp_path}/results"
    outcome = torchrun("main.py", *words.split())
    assert outcome.returncode != 0
    (line,) = own_lines(outcome.stderr)
    assert line.startswith("error: torchrun trains one run, but several values in a flag are a grid")
    assert not (tmp_path / "results").exists()


def test_the_error_of_one_process_is_one_line_and_leaves_the_last_checkpoint(tmp_path):
    words = f"--model LeNet300 --N 200 --epochs 3 --results_dir {tmp_path}/results {QUICK}"
    outcome = torchrun("tests/parallel_runs.py", "fails", words)
    assert outcome.returncode != 0
    assert own_lines(outcome.stderr) == ["error: the image lost.png cannot be read"]
    (folder,) = (tmp_path / "results").iterdir()
    assert (folder / "models" / "last.safetensors").exists()
    assert not (folder / "output" / "results.json").exists()


def test_it_is_interrupted_and_goes_on_with_fewer_processes(run, tmp_path):
    words = f"--model MLP5 --hidden_dim 12 --N 200 --epochs 60 --optimizer SGD --learning_rate 0.01 {QUICK} "
    words += (
        f"--save_minutes 0 --eval_freq 0 --prune_criterion SNAPit --pruning_limit 0.4 --results_dir {tmp_path}/results"
    )
    process = torchrun("main.py", *words.split(), wait=False)
    for line in process.stdout:
        if line.startswith("epoch   4"):
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert own_lines(err) == []
    (folder,) = (tmp_path / "results").iterdir()
    assert (folder / "models" / "last.safetensors").exists()
    assert not (folder / "output" / "results.json").exists()
    refused = run("--resume latest")
    assert refused.status == 2
    assert "began with processes 2 and would continue with 1" in refused.err
    assert run("--resume latest --resume_anyway").status == 0
    one = run(words)
    assert finished(folder)[1] == finished(one.folder)[1]
    assert results(folder)["test_loss"] == pytest.approx(one.results["test_loss"], abs=1e-3)
