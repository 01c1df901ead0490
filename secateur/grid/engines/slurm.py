"""Runs of a grid as jobs of Slurm, through submitit. The grid's folder must be one that the nodes see too."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from secateur.grid.engines.command import python_path, run_command
from secateur.grid.outcome import Outcome
from secateur.grid.run_folders import command_of
from secateur.grid.trials import Grid, Trial
from secateur.utils.errors import UserError, one_line

if TYPE_CHECKING:
    import submitit

SECONDS_BETWEEN_LOOKS = 0.5
MINUTES_OF_A_DAY = 24 * 60


class Slurm:
    """A job for each run; `--slurm_local` makes them processes of this machine, to try it out."""

    def __init__(self, grid: Grid) -> None:
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise UserError("--engine slurm needs the package submitit: pip install submitit==1.5.4") from error
        self.grid = grid
        flags = grid.options
        self.threads = flags.cpus_per_run or 1
        cluster = "local" if flags.slurm_local else "slurm"
        try:
            self.executor = submitit.AutoExecutor(folder=grid.folder / "jobs", cluster=cluster)
        except RuntimeError as error:
            raise UserError(f"--engine slurm: {one_line(error)}; --slurm_local does without") from error
        self.executor.update_parameters(
            timeout_min=flags.slurm_minutes or MINUTES_OF_A_DAY,
            cpus_per_task=self.threads,
            gpus_per_node=flags.gpus_per_run or 0,
            **({"slurm_partition": flags.slurm_partition} if flags.slurm_partition else {}),
        )
        # Jobs inherit this environment, and read the function that they run from the project.
        os.environ.update(python_path())

    def start(self, trial: Trial) -> submitit.Job:
        """Submit the run, or what goes on with it, as a job."""
        self.executor.update_parameters(name=trial.label)
        return self.executor.submit(run_command, command_of(trial, self.grid.folder), self.threads)

    def wait(self, running: list[submitit.Job]) -> list[tuple[submitit.Job, Outcome]]:
        """Look at the jobs now and then until one has ended."""
        while not (ended := [job for job in running if job.done()]):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return [(job, _outcome(job)) for job in ended]

    def stop(self, running: list[submitit.Job]) -> None:
        """Cancel the jobs."""
        for job in running:
            job.cancel(check=False)
        for job in running:
            job.wait()

    def close(self) -> None:
        """Nothing is held: what the jobs said stays in the grid's folder `jobs`."""


def _outcome(job: submitit.Job) -> Outcome:
    failure = job.exception()
    if failure is None:
        return job.result()
    return Outcome(
        1, f"{failure}\nerror: the job {job.job_id} ended without a result; its logs are in {job.paths.folder}"
    )
