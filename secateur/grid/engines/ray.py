"""Runs of a grid as tasks of Ray: the code is shipped to the nodes, the run folders come back as files."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from secateur.config.places import CHECKOUT, home
from secateur.grid.controls import flags_of_results, waits_for
from secateur.grid.engines.command import run_command
from secateur.grid.outcome import Outcome
from secateur.grid.run_folders import folders_by_key
from secateur.grid.trials import Grid, Trial
from secateur.utils.errors import UserError, one_line

if TYPE_CHECKING:
    import ray

#: Of the project, what no run needs. Ray leaves out what .gitignore names too.
NOT_SHIPPED = [".git", ".venv", "gitignored", "tests", "docs", "benchmarks"]
#: A run whose node is lost is begun anew so many times.
RETRIES = 3
#: Whether a task's folder has come back is decided by its name: what is still unpacked begins so.
INCOMING = ".incoming_"


class Ray:
    """A task for each run, on the cluster of `--ray_address`, or one on this machine that ends with the grid."""

    def __init__(self, grid: Grid) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise UserError("--engine ray needs the package ray: pip install ray==2.60.0") from error
        self.ray, self.grid = ray, grid
        # A data set lies where it lies here; the code does not.
        self.data_dir = [] if "data_dir" in grid.common else ["--data_dir", str(home() / "gitignored" / "data")]
        flags = grid.options
        self.threads = flags.cpus_per_run or 1
        try:
            ray.init(
                address=flags.ray_address or "local",
                runtime_env=_shipped(),
                log_to_driver=False,
                logging_level="error",
                include_dashboard=False if flags.ray_address is None else None,
            )
        except Exception as error:  # ray has no narrower one for what keeps it from starting
            flag = f"--ray_address {flags.ray_address}" if flags.ray_address else "--engine ray"
            raise UserError(f"{flag}: {one_line(error)}") from error
        needs = {"num_cpus": self.threads, "num_gpus": flags.gpus_per_run or 0, "max_retries": RETRIES}
        self.task = ray.remote(**needs)(_run_remotely)

    def start(self, trial: Trial) -> ray.ObjectRef:
        """Hand the run to the cluster, which begins it when it has room."""
        own = flags_of_results(trial, folders_by_key(self.grid.folder) if waits_for(trial) else {})
        argv = [*trial.argv, *own, "--run_name", trial.label, *self.data_dir]
        return self.task.options(name=trial.label).remote(argv, self.threads)

    def wait(self, running: list[ray.ObjectRef]) -> list[tuple[ray.ObjectRef, Outcome]]:
        """Wait until a run has ended, and unpack its folder into the grid's."""
        ended, _ = self.ray.wait(running, num_returns=1)
        return [(one, self._fetched(one)) for one in ended]

    def _fetched(self, ended: ray.ObjectRef) -> Outcome:
        try:
            outcome, files = self.ray.get(ended)
        except self.ray.exceptions.RayError as error:
            return Outcome(1, f"error: {type(error).__name__}: {one_line(error)}")
        unpack(files, self.grid.folder)
        return outcome

    def stop(self, running: list[ray.ObjectRef]) -> None:
        """Cancel the runs. What they have computed stays where they ran."""
        for one in running:
            self.ray.cancel(one)
        self.ray.wait(running, num_returns=len(running), timeout=30)

    def close(self) -> None:
        """Leave the cluster; one of this machine ends."""
        self.ray.shutdown()


def _shipped() -> dict[str, object]:
    """What goes to the nodes: the checkout. An installation is expected to be theirs too."""
    return {"working_dir": str(CHECKOUT), "excludes": NOT_SHIPPED} if CHECKOUT else {}


def unpack(files: bytes, folder: Path) -> None:
    """Unpack run folders into a folder, each whole or not at all."""
    with tempfile.TemporaryDirectory(prefix=INCOMING, dir=folder) as place:
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            archive.extractall(place, filter="data")
        for path in Path(place).iterdir():
            target, number = folder / path.name, 2
            while target.exists():
                target, number = folder / f"{path.name}_{number}", number + 1
            path.rename(target)


def _run_remotely(argv: list[str], threads: int) -> tuple[Outcome, bytes]:
    """Be a task: run the code that was shipped, and return its run folders packed."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as place:
        outcome = run_command([*argv, "--results_dir", place], threads)
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in sorted(Path(place).iterdir()):
                archive.add(path, arcname=path.name)
    return outcome, packed.getvalue()
