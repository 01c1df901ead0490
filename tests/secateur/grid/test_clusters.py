"""What is asked of Slurm and Ray, which stand-ins note: the packages themselves need not be there."""

import io
import os
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace

import pytest

from secateur.config.places import CHECKOUT
from secateur.grid.engines import command, slurm
from secateur.grid.engines import ray as ray_engine
from secateur.grid.engines.ray import Ray, _run_remotely
from secateur.grid.engines.slurm import Slurm
from secateur.grid.options import GridOptions
from secateur.grid.outcome import Outcome
from secateur.grid.trials import Grid, trials_of
from secateur.utils.errors import UserError


def grid_of(folder, settings=None, **options):
    trials = trials_of([{"seed": (seed,), **(settings or {})} for seed in "12"])
    return Grid(trials, folder, [], GridOptions(**options), "grid")


class Job:
    """A job of a stand-in for submitit."""

    job_id, paths = "7", SimpleNamespace(folder="jobs")

    def __init__(self, looks=0, failure=None):
        self.looks, self.failure, self.events = looks, failure, []

    def done(self):
        self.looks -= 1
        return self.looks < 0

    def exception(self):
        return self.failure

    def result(self):
        return Outcome(0, "done")

    def cancel(self, check):
        self.events.append(f"cancel, check={check}")

    def wait(self):
        self.events.append("wait")


@pytest.fixture
def submitted(monkeypatch):
    """What submitit's executor is asked."""
    asked = []

    class AutoExecutor:
        def __init__(self, folder, cluster):
            if asked == ["no Slurm"]:
                raise RuntimeError("no sbatch\nhere")
            asked.append((folder, cluster))

        def update_parameters(self, **parameters):
            asked.append(parameters)

        def submit(self, *words):
            asked.append(words)
            return Job()

    module = ModuleType("submitit")
    module.AutoExecutor = AutoExecutor
    monkeypatch.setitem(sys.modules, "submitit", module)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    return asked


def test_a_job_is_submitted_with_what_the_grid_asks_for(submitted, tmp_path):
    grid = grid_of(tmp_path, slurm_minutes=5, cpus_per_run=3, gpus_per_run=2, slurm_partition="long")
    engine = Slurm(grid)
    engine.start(grid.trials[0])
    label = grid.trials[0].label
    assert submitted == [
        (tmp_path / "jobs", "slurm"),
        {"timeout_min": 5, "cpus_per_task": 3, "gpus_per_node": 2, "slurm_partition": "long"},
        {"name": label},
        (slurm.run_command, ["--seed", "1", "--results_dir", str(tmp_path), "--run_name", label], 3),
    ]
    assert os.environ["PYTHONPATH"] == f"{CHECKOUT}{os.pathsep}/elsewhere"  # jobs read the code from there


def test_by_default_a_job_has_a_day_and_one_core(submitted, tmp_path):
    Slurm(grid_of(tmp_path, slurm_local=True))
    assert submitted == [
        (tmp_path / "jobs", "local"), {"timeout_min": 1440, "cpus_per_task": 1, "gpus_per_node": 0},
    ]  # fmt: skip


def test_a_machine_without_slurm_is_one_line(submitted, tmp_path):
    submitted.append("no Slurm")
    with pytest.raises(UserError, match=r"--engine slurm: no sbatch here; --slurm_local does without"):
        Slurm(grid_of(tmp_path))


def test_jobs_are_looked_at_until_one_has_ended_and_a_lost_one_names_its_logs(submitted, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(slurm.time, "sleep", slept.append)
    engine = Slurm(grid_of(tmp_path))
    slow, quick, lost = Job(looks=9), Job(looks=2), Job(looks=2, failure=ValueError("node lost"))
    ended = engine.wait([slow, quick, lost])
    assert slept == [0.5, 0.5]
    assert [one for one, _ in ended] == [quick, lost]
    assert ended[0][1] == Outcome(0, "done")
    assert ended[1][1].status == 1
    assert ended[1][1].error == "the job 7 ended without a result; its logs are in jobs"
    engine.stop([slow, quick])
    engine.close()
    assert slow.events == quick.events == ["cancel, check=False", "wait"]


class FakeRay(ModuleType):
    """A stand-in for ray: what it is asked; a task's result is what it was called with."""

    def __init__(self):
        super().__init__("ray")
        self.asked, self.results = [], {}
        self.exceptions = SimpleNamespace(RayError=LookupError)

    def init(self, **options):
        self.asked.append(options)

    def remote(self, **needs):
        self.asked.append(needs)

        def task_of(function):
            def options(name):
                return SimpleNamespace(remote=lambda *words: (name, function, *words))

            return SimpleNamespace(options=options)

        return task_of

    def wait(self, running, num_returns, timeout=None):
        self.asked.append((num_returns, timeout))
        return running[:num_returns], running[num_returns:]

    def get(self, task):
        return self.results[task]

    def cancel(self, task):
        self.asked.append(f"cancel {task}")

    def shutdown(self):
        self.asked.append("shutdown")


@pytest.fixture
def ray(monkeypatch):
    module = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def test_a_task_is_given_what_the_grid_asks_for(ray, tmp_path):
    grid = grid_of(tmp_path, cpus_per_run=3, gpus_per_run=2, ray_address="host:1")
    engine = Ray(grid)
    where, needs = ray.asked
    assert where["address"] == "host:1"
    assert where["include_dashboard"] is None
    assert (where["log_to_driver"], where["logging_level"]) == (False, "error")
    assert where["runtime_env"] == {"working_dir": str(CHECKOUT), "excludes": ray_engine.NOT_SHIPPED}
    assert needs == {"num_cpus": 3, "num_gpus": 2, "max_retries": 3}
    name, function, argv, threads = engine.start(grid.trials[0])
    label = grid.trials[0].label
    assert (name, function, threads) == (label, _run_remotely, 3)
    assert argv[:4] == ["--seed", "1", "--run_name", label]
    assert argv[4] == "--data_dir"  # the data lies here, the code does not
    assert argv[5].endswith("gitignored/data")


def test_by_default_a_task_has_one_core_of_this_machine_and_the_data_of_the_command(ray, tmp_path):
    grid = grid_of(tmp_path, {"data_dir": ("/data",)})
    engine = Ray(grid)
    where, needs = ray.asked
    assert (where["address"], where["include_dashboard"]) == ("local", False)
    assert needs == {"num_cpus": 1, "num_gpus": 0, "max_retries": 3}
    assert engine.start(grid.trials[0])[2].count("--data_dir") == 1


@pytest.mark.parametrize(("address", "flag"), [("host:1", "--ray_address host:1"), (None, "--engine ray")])
def test_a_ray_that_does_not_start_is_one_line(ray, tmp_path, monkeypatch, address, flag):
    def fail(**_):
        raise ValueError("timed out\nat startup")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(UserError, match=f"^{flag}: timed out at startup"):
        Ray(grid_of(tmp_path, ray_address=address))


def test_the_folder_of_a_task_comes_back_and_a_lost_task_is_a_failure(ray, tmp_path, monkeypatch):
    def run_command(argv, threads):
        assert threads == 2
        place = Path(argv[argv.index("--results_dir") + 1]) / "date_run"
        place.mkdir()
        (place / "results.json").write_text("{}")
        return Outcome(0, "done")

    monkeypatch.setattr(ray_engine, "run_command", run_command)
    ray.results["one"] = outcome, files = _run_remotely(["--seed", "1"], 2)
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        assert archive.getnames() == ["date_run", "date_run/results.json"]
    engine = Ray(grid_of(tmp_path))
    made = []

    def temporary(prefix, dir):
        made.append((prefix, dir))
        return TemporaryDirectory(prefix=prefix, dir=dir)

    monkeypatch.setattr(ray_engine.tempfile, "TemporaryDirectory", temporary)
    assert engine.wait(["one", "two"]) == [("one", outcome)]
    assert made == [(".incoming_", tmp_path)]  # beside the others, where a name is changed at once
    assert (tmp_path / "date_run" / "results.json").read_text() == "{}"
    (ended,) = engine.wait(["two"])
    assert ended == ("two", Outcome(1, "error: KeyError: 'two'"))
    engine.stop(["two", "three"])
    engine.close()
    assert ray.asked[2:] == [(1, None), (1, None), "cancel two", "cancel three", (2, 30), "shutdown"]


def test_a_run_of_its_own_finds_the_code_and_is_read_to_its_end(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "")
    assert command.python_path() == {"PYTHONPATH": str(CHECKOUT)}
    monkeypatch.setattr(command, "CHECKOUT", None)
    assert command.python_path() == {}  # an installation is found without it
