"""Settings of grids: how several runs are run. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import FREE_TEXT, Section, option


class GridOptions(Section):
    """Several values in any flag make a run of each combination, as in --seed 1,2,3."""

    title = "many runs"

    grid: Path | None = option(
        None,
        "run every combination of flags that a TOML file lists (see docs/grids.md)",
        metavar="FILE",
        common="continue, evaluate, compare",
        suggested_for="sweep config cfg config_file yaml",
    )
    pruner_list: list[str] | None = option(
        None, "the same as --prune_criterion A,B; separated by spaces or commas", words="+", metavar="NAME"
    )
    compression_list: list[str] | None = option(
        None, "the same as --compression 2,5; separated by spaces or commas", words="+", metavar="RATIO"
    )
    controls: list[str] | None = option(
        None,
        "beside each run that prunes, run the controls that it must beat; all, or some of dense, the dense network; "
        "same_parameters and same_flops, narrower networks trained as long; same_densities, a random mask with its "
        "layers' densities; shuffled, its mask shuffled within each layer; reinitialised, new weights under its mask",
        choices=("dense", "same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"),
        words="?",
        alone=["dense", "same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"],
        metavar="NAME,NAME,...",
    )
    dry_run: bool = option(
        False,
        "list the runs, which of them are finished and the estimated time of the rest; run nothing",
        suggested_for="dryrun plan preview",
    )
    engine: str = option(
        "local",
        "what runs them: local (processes of this machine), ray or slurm (needs the package ray or submitit)",
        choices=("local", "ray", "slurm"),
        metavar="NAME",
    )
    jobs: int | None = option(
        None,
        "runs at a time; local ones share the cores (default: 1; ray and slurm: as many as the cluster takes)",
        low=1,
        high=10_000,
        suggested_for="num_workers workers n_jobs parallel num_processes",
    )
    cpus_per_run: int | None = option(None, "CPU cores per run, with ray and slurm (default: 1)", low=1, high=10_000)
    gpus_per_run: int | None = option(
        None,
        "GPUs per run, with ray and slurm (default: 0)",
        low=0,
        high=1000,
        suggested_for="num_gpus ngpus n_gpus",
    )
    ray_address: str | None = option(
        None, "address of a ray cluster, or auto (default: start one on this machine for the grid)", metavar="HOST:PORT"
    )
    slurm_partition: str | None = option(
        None, "partition of Slurm (default: the cluster's)", pattern=FREE_TEXT, metavar="NAME"
    )
    slurm_minutes: int | None = option(None, "time limit of a run in Slurm (default: a day)", low=1, high=1_000_000)
    slurm_local: bool = option(False, "with --engine slurm: run as processes of this machine, to try it without Slurm")
