"""Long runs keep memory flat, and runs in one process leave no file and no worker behind."""

import contextlib
import gc
import multiprocessing
import os
import select
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
import torch
from PIL import Image

from secateur.measuring.evaluation import evaluate
from secateur.pruning.criterion import Criterion
from tests.commands import QUICK, ROOT

#: What a garbage collector, caches of torch and a log may keep of hundreds of repetitions.
FEW_BYTES = 100_000


def live_tensors():
    """How many tensors there are."""
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


@contextlib.contextmanager
def flat_memory():
    """Check that what runs within leaves as many tensors, and nearly as many bytes, as were there."""
    tensors = live_tensors()
    tracemalloc.start()
    try:
        yield
        assert live_tensors() <= tensors
        assert tracemalloc.get_traced_memory()[0] < FEW_BYTES
    finally:
        tracemalloc.stop()


def test_200_pruning_steps_of_a_run_keep_memory_flat(run, monkeypatch):
    prune, tensors = Criterion.prune, []

    def counted(self, *arguments):
        step = prune(self, *arguments)
        tensors.append(live_tensors() if len(tensors) in (19, 199) else 0)
        if len(tensors) == 20:
            tracemalloc.start()
        elif len(tensors) == 200:
            tensors.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
        return step

    monkeypatch.setattr(Criterion, "prune", counted)
    done = run(
        "--model LogisticRegression --prune_criterion SNIP --prune_schedule linear --snip_steps 200 --N 64 "
        f"--pruning_limit 0.9 --outer_layer_pruning --saliency_batches 1 --epochs 0 {QUICK}"
    )
    assert done.status == 0, done.err
    assert done.results["weight_sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert len(tensors) == 201
    assert 0 < tensors[199] <= tensors[19]
    # The record of each step has some 400 bytes; its scores alone would have 180 times 2,560.
    assert tensors[200] < FEW_BYTES + 180 * 400


def test_2000_evaluations_keep_memory_flat(make_run):
    run = make_run("--model LogisticRegression --N 64")
    network, batches = run.network, run.data.held_out.subset(torch.arange(32))

    def measure():
        return evaluate(network, run.loss, batches, run.data.num_classes).accuracy

    first = measure()
    with flat_memory():
        assert {measure() for _ in range(2000)} == {first}


def open_files():
    """The files, pipes and sockets that this process holds open."""
    found = {}
    for place in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # of the listing itself, closed by now
            found[place.name] = os.readlink(place)  # noqa: PTH115 - what is no path is shown too
    return {name: file for name, file in found.items() if "site-packages" not in file}  # fonts, kept for all runs


@pytest.fixture
def left_behind():
    """Return what runs have left since the first call: open files, processes, threads."""
    before = {}

    def look():
        gc.collect()
        files, threads = open_files(), {thread.name for thread in threading.enumerate()}
        if not before:
            before.update(files=files, threads=threads)
        new = {name: file for name, file in files.items() if before["files"].get(name) != file}
        return [*new.values(), *multiprocessing.active_children(), *(threads - before["threads"])]

    return look


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed by Linux alone")
def test_runs_in_one_process_close_their_files(run, left_behind):
    command = f"--model LogisticRegression --epochs 1 --N 64 --prune_criterion Magnitude --outer_layer_pruning {QUICK}"
    assert run(command).status == 0  # what is opened once, for all runs
    assert left_behind() == []
    assert [run(command).status for _ in range(3)] == [0, 0, 0]
    assert run("--eval --checkpoint_name latest").status == 0
    assert run(f"{command} --learning_rate 1e30 --optimizer SGD --grad_clip 0").status == 2
    assert run(f"{command} --N 9999").status == 2
    assert left_behind() == []


@pytest.fixture
def images(tmp_path):
    """A folder of small images."""
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / place / f"{number}.png")
    return tmp_path / "images"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed by Linux alone")
def test_workers_that_decode_images_end_with_their_run(run, left_behind, images, monkeypatch):
    monkeypatch.setattr("secateur.data.image_files.SHARE_OF_MEMORY", 0)  # none of it: they are streamed
    command = f"--model LogisticRegression --data_set IMAGEFOLDER --data_dir {images} --epochs 1 {QUICK}"
    assert run(command).status == 0
    left_behind()
    assert [run(command).status for _ in range(2)] == [0, 0]
    assert left_behind() == []


#: A data set whose images are streamed, however much memory there is.
STREAMED = """
from secateur.data import image_files
from secateur.data_sets.IMAGEFOLDER import IMAGEFOLDER


class STREAMED(IMAGEFOLDER):
    def load(self, folder):
        image_files.SHARE_OF_MEMORY = 0
        return super().load(folder)
"""


def family_of(number):
    """A process and all that come from it, by their ids."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, timeout=60, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    found = [number]
    for parent in found:
        found += [int(child) for child, its_parent in rows if int(its_parent) == parent]
    return found


def is_alive(number):
    """Whether a process is there, and not one that has ended and waits to be told so."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def killed(process, began):
    """Kill a process once `began()` of it and what comes from it; returns those that do not end then."""
    family = []
    while not began(family):
        assert process.poll() is None
        time.sleep(0.1)
        family = family_of(process.pid)
    process.kill()
    process.wait(timeout=100)
    for _ in range(1200):
        if not (family := [number for number in family if is_alive(number)]):
            break
        time.sleep(0.1)
    return family


QUIET = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LISTED = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="processes are listed by Linux alone")


@LISTED
def test_a_killed_job_leaves_no_run(tmp_path):
    os.mkfifo(tmp_path / "endless.toml")
    job = (
        f"from secateur.grid.engines.command import run_command; run_command(['--grid', '{tmp_path}/endless.toml'], 1)"
    )
    assert killed(subprocess.Popen([sys.executable, "-c", job], **QUIET), lambda family: len(family) == 2) == []


@LISTED
def test_a_killed_grid_leaves_no_run_and_no_worker(tmp_path):
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / place / f"{number}.png")
    (tmp_path / "data_sets").mkdir()
    (tmp_path / "data_sets" / "STREAMED.py").write_text(STREAMED)
    words = f"--model LogisticRegression --data_set STREAMED --components {tmp_path} --data_dir {tmp_path / 'images'} "
    words += f"--epochs 100000 --batch_size 2 --seed 1,2 --jobs 2 --results_dir {tmp_path / 'results'} {QUICK}"

    def began(family):
        """The grid, the two processes that fork, two runs, and workers of theirs."""
        return len(list(tmp_path.glob("results/*/*/output/metrics.csv"))) == 2 and len(family) > 5

    assert killed(subprocess.Popen([sys.executable, "main.py", *words.split()], **QUIET), began) == []


STREAMED_RUN = """
import sys
from secateur import cli
from secateur.data import image_files
image_files.SHARE_OF_MEMORY = 0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone tells when a process ends that is no child")
def test_workers_that_decode_images_end_where_their_run_is_killed(images, tmp_path):
    command = f"--model LogisticRegression --data_set IMAGEFOLDER --data_dir {images} --epochs 100000 --batch_size 1 "
    words = [*command.split(), *QUICK.split(), "--results_dir", tmp_path / "results"]
    words = [sys.executable, "-c", STREAMED_RUN, *words]
    with subprocess.Popen(words, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        next(line for line in process.stdout if line.startswith("epoch   2"))
        workers = []
        while not workers:  # they come with each epoch
            listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            with contextlib.suppress(ProcessLookupError):
                workers = [os.pidfd_open(int(child)) for child in listed]
        process.kill()
    try:
        for worker in workers:
            assert select.select([worker], [], [], 120)[0]  # ready once it has ended
    finally:
        for worker in workers:
            os.close(worker)
