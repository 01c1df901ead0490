"""Grids as a user calls them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from secateur import cli
from tests.commands import QUICK, Outcome

ROOT = Path(__file__).parent.parent
RUN = f"--model LogisticRegression --data_set RUBBISH --rubbish_images 64 --epochs 1 {QUICK}"
#: One thread, however many runs there are at a time: sums in another order are not bit-identical.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def call(capsys):
    """Call main.main here, with a folder for the results; returns its `Outcome`."""

    def answer(command, results):
        status = cli.main([*command.split(), "--results_dir", str(results)])
        return Outcome(status, *capsys.readouterr(), None)

    return answer


def start(command, results):
    """Start main.py in a process of its own, and of its own group."""
    words = [sys.executable, "main.py", *command.split(), "--results_dir", str(results)]
    return subprocess.Popen(
        words, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def rows(results):
    """The index of the one grid below `results`, without times and dates."""
    with next(results.glob("grid_*/index.csv")).open() as file:
        return [{name: row[name] for name in row if name not in ("seconds", "folder")} for row in csv.DictReader(file)]


def wait_for(results, pattern, number, enough=lambda path: True):
    """Wait until so many files of a pattern are there."""
    for _ in range(1200):
        if len([path for path in results.glob(pattern) if enough(path)]) >= number:
            return
        time.sleep(0.1)
    raise AssertionError(f"{pattern} did not come")


def test_two_at_a_time_give_the_same_numbers_as_one_after_another(call, tmp_path):
    command = f"{RUN} --seed 1,2 --learning_rate 0.1,0.01"
    one = call(command, tmp_path / "one")
    assert one.status == 0, one.err
    assert one.err == ""
    assert "4 of 4 · seed 2, learning_rate 0.01 · test accuracy" in one.out
    two = call(f"{command} --jobs 2", tmp_path / "two")
    assert two.status == 0, two.err
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    assert [row["status"] for row in rows(tmp_path / "one")] == ["done"] * 4
    assert len({row["test_loss"] for row in rows(tmp_path / "one")}) == 4
    runs = json.loads(next(tmp_path.glob("one/grid_*/index.json")).read_text())["runs"]
    log = next(tmp_path.glob("one/grid_*")) / runs[0]["folder"] / "output" / "log.txt"
    assert "epoch   1" in log.read_text()
    assert "epoch   1" not in one.out


def test_a_grid_that_was_killed_goes_on_where_it_was_and_comes_to_the_same(call, tmp_path):
    command = f"{RUN} --seed 1,2,3"
    process = start(command, tmp_path / "killed")
    wait_for(tmp_path / "killed", "grid_*/*/output/results.json", 1)
    process.kill()
    process.communicate()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/grid_*/*seed-1_*/output/results.json")}
    assert len(finished) == 1
    again = call(command, tmp_path / "killed")
    assert again.status == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    through = call(command, tmp_path / "through")
    assert through.status == 0, through.err
    assert rows(tmp_path / "killed") == rows(tmp_path / "through")
    third = call(command, tmp_path / "through")
    assert "3 runs: 3 done, 0 to run" in third.out


def processes_of(process):
    """The ids of a process and of all that come from it, the last ones first."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, timeout=60, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [process.pid]
    for parent in found:
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found[::-1]


def test_runs_that_were_killed_in_their_midst_go_on_there_and_come_to_the_same(call, tmp_path):
    command = f"{RUN.replace('--epochs 1', '--epochs 80')} --eval_freq 0"
    command += " --prune_criterion IMP --snip_steps 2 --outer_layer_pruning --save_minutes 0 --seed 1,2,3 --jobs 2"
    process = start(command, tmp_path / "killed")
    wait_for(tmp_path / "killed", "grid_*/*/output/metrics.csv", 2, lambda path: path.read_text().count("\n") > 5)
    for number in processes_of(process):
        os.kill(number, signal.SIGKILL)
    process.communicate()
    begun = sorted(tmp_path.glob("killed/grid_*/*/state"))
    assert len(begun) == 2
    assert not list(tmp_path.glob("killed/grid_*/*/output/results.json"))
    again = call(command, tmp_path / "killed")
    assert again.status == 0, again.out + again.err
    assert "3 runs: 0 done, 3 to run (2 of them interrupted)" in again.out
    assert len(list(tmp_path.glob("killed/grid_*/*/codebase"))) == 3
    for state in begun:
        assert not state.exists()
        assert "continues after " in (state.parent / "output" / "log.txt").read_text()
    through = call(command.replace(" --jobs 2", ""), tmp_path / "through")  # which starts no processes
    assert through.status == 0, through.err
    assert rows(tmp_path / "killed") == rows(tmp_path / "through")
    assert [row["status"] for row in rows(tmp_path / "through")] == ["done"] * 3


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_grid_lets_its_runs_write_their_last_checkpoints(tmp_path, sent, status):
    command = f"--model LeNet5 --epochs 100000 {QUICK}"
    process = start(f"{command} --seed 1,2,3 --jobs 2", tmp_path)
    wait_for(tmp_path, "grid_*/*/output/metrics.csv", 2, lambda path: path.read_text().count("\n") > 2)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status
    assert b"Traceback" not in errors
    assert len(list(tmp_path.glob("grid_*/*/models/last.safetensors"))) == 2
    assert [row["status"] for row in rows(tmp_path)] == ["interrupted", "interrupted", "missing"]


def test_a_run_that_fails_does_not_stop_the_others_and_runs_again(run, tmp_path):
    command = f"{RUN} --N 5000,64 --run_name mine"
    status, out, err, folder = run(command)
    assert (status, err) == (1, "")
    assert folder.name == "grid_mine"
    assert "N 5000 · FAILED: --N 5000: the data set has" in out
    failed, done = rows(tmp_path / "results")
    assert failed["error"].startswith("'--N 5000: the data set has")  # a spreadsheet would compute --N
    assert (failed["status"], done["status"]) == ("failed", "done")
    assert "error: --N 5000" in next(folder.glob("failed/*.txt")).read_text()
    again = run(f"{RUN} --N 32,64 --run_name mine")
    assert again.status == 0
    assert "2 runs: 1 done, 1 to run" in again.out


def test_a_wrong_value_is_one_line_and_leaves_nothing(run, tmp_path):
    for command in (f"{RUN} --seed 1,x", f"{RUN} --seed 1,2 --epcohs 3", f"{RUN} --seed 1,2 --grid {tmp_path}/no"):
        status, _, err, folder = run(command)
        assert (status, folder) == (2, None)
        assert err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_dry_run_shows_the_runs_and_runs_nothing(run, tmp_path):
    status, out, err, folder = run(f"{RUN} --prune_criterion SNIP,GRASP --grasp_temperature 1,2 --seed 1,2 --dry_run")
    assert (status, err, folder) == (0, "", None)
    assert "6 runs: 0 done, 6 to run; how long that takes is known once one of them has finished" in out
    assert "--grasp_temperature applies to the 4 of 6 runs whose components have it" in out
    many = ",".join(map(str, range(1, 41)))
    assert "... 15 more" in run(f"{RUN} --seed {many} --dry_run").out
    assert not (tmp_path / "results").exists()


def test_a_dry_run_estimates_from_finished_runs(run):
    assert run(f"{RUN} --seed 1 --jobs 1 --run_name a").status == 0
    out = run(f"{RUN} --seed 1 --jobs 1 --run_name a --dry_run").out
    assert "1 run: 1 done, 0 to run" in out
    out = run(f"{RUN} --seed 1,2,3 --jobs 2 --run_name a --dry_run").out
    assert "3 runs: 1 done, 2 to run, about " in out
    assert "2 at a time" in out


def test_help_with_several_names_is_that_of_the_first(run):
    status, out, *_ = run("--prune_criterion GRASP,SNIP --seed 1,2 --help")
    assert status == 0
    assert "--grasp_temperature" in out


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm --slurm_local", "submitit")])
def test_a_cluster_gives_the_same_numbers(call, tmp_path, engine, package):
    pytest.importorskip(package)
    command = f"{RUN} --N 64,5000"
    local = call(command, tmp_path / "local")
    other = call(f"{command} --engine {engine}", tmp_path / "other")
    assert (local.status, other.status) == (1, 1), other.err
    assert rows(tmp_path / "local") == rows(tmp_path / "other")


def test_an_engine_that_is_not_installed_is_one_line_and_leaves_nothing(run, tmp_path, monkeypatch):
    for engine, package in (("ray", "ray"), ("slurm", "submitit")):
        monkeypatch.setitem(sys.modules, package, None)
        status, _, err, _ = run(f"{RUN} --seed 1,2 --engine {engine}")
        assert status == 2
        assert err.startswith(f"error: --engine {engine} needs the package {package}: pip install {package}==")
        assert not (tmp_path / "results").exists()


def test_a_ray_that_does_not_start_is_one_line_and_leaves_nothing(run, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")

    def fail(**options):
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setattr(ray, "init", fail)
    status, _, err, _ = run(f"{RUN} --seed 1,2 --engine ray")
    assert (status, err) == (2, "error: --engine ray: The current node timed out during startup.\n")
    assert not (tmp_path / "results").exists()


def test_without_slurm_its_engine_is_one_line(run, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err, _ = run(f"{RUN} --seed 1,2 --engine slurm")
    assert status == 2
    assert err.count("\n") == 1
    assert "--slurm_local does without" in err
