"""Runs that start in the same second, on the same results and the same cold cache of images."""

import multiprocessing
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from secateur import cli
from tests.commands import QUICK, results

RUNS = 8


def start_together(barrier, command):
    """Run one command line once all have come this far; in a process that has torch already."""
    barrier.wait(60)
    sys.exit(cli.main(command))


@pytest.mark.slow
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="eight imports of torch take long")
def test_runs_on_one_results_folder_and_one_cold_cache_do_not_collide(tmp_path):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for number in range(4):
            shade = number + 100 * ("b" in place)
            Image.new("RGB", (8, 8), (shade, shade, 0)).save(tmp_path / "images" / place / f"{number}.png")
    command = (
        f"--model LogisticRegression --data_set IMAGEFOLDER --data_dir {tmp_path / 'images'} --epochs 1 "
        f"--results_dir {tmp_path / 'results'} --run_name same {QUICK}"
    )
    torch.set_num_threads(1)  # a pool of threads does not survive the fork
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(RUNS)
    processes = [context.Process(target=start_together, args=(barrier, command.split())) for _ in range(RUNS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    assert [process.exitcode for process in processes] == [0] * RUNS
    folders = list((tmp_path / "results").iterdir())
    assert len(folders) == RUNS
    assert len({results(folder)["test_accuracy"] for folder in folders}) == 1
    first, *others = (load_file(folder / "models" / "LogisticRegression_finished.safetensors") for folder in folders)
    assert all(torch.equal(tensor, other[name]) for other in others for name, tensor in first.items())
    for part in ("train", "test"):
        assert {path.suffix for path in (tmp_path / "images" / part / ".secateur").iterdir()} == {".npy", ".json"}
