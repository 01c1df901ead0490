"""Settings of grids: how several runs are run. Free of torch."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import FREE_TEXT, Section, option


class GridOptions(Section):
    """Several values in any flag make a run of each combination, as in --seed 1,2,3."""

    title = "many runs"

    grid: Path | None = option(
        None, "a TOML file of flags, sections of runs and exclusions (see README.md)", metavar="FILE"
    )
    pruner_list: list[str] | None = option(
        None, "the same as --prune_criterion A,B, with spaces or commas", words="+", metavar="NAME"
    )
    compression_list: list[str] | None = option(
        None, "the same as --compression 2,5, with spaces or commas", words="+", metavar="RATIO"
    )
    controls: list[str] | None = option(
        None,
        "beside each run that prunes, runs of what it must beat, all of these or some: the dense network; narrower "
        "ones of as many parameters or FLOPs, trained as long; random weights with the densities of its layers; its "
        "mask shuffled in each layer; new weights under it",
        choices=("dense", "same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"),
        words="?",
        alone=["dense", "same_parameters", "same_flops", "same_densities", "shuffled", "reinitialised"],
        metavar="NAME,NAME,...",
    )
    dry_run: bool = option(
        False, "show the runs, which of them are done and about how long the rest takes; run nothing"
    )
    engine: str = option(
        "local",
        "what runs them: local (processes of this machine), ray or slurm (packages ray, submitit)",
        choices=("local", "ray", "slurm"),
        metavar="NAME",
    )
    jobs: int | None = option(
        None,
        "runs at a time; local ones share the cores (default: 1, of ray and slurm as many as the cluster takes)",
        low=1,
        high=10_000,
    )
    cpus_per_run: int | None = option(None, "cores of each run, with ray and slurm (default: 1)", low=1, high=10_000)
    gpus_per_run: int | None = option(None, "GPUs of each run, with ray and slurm (default: 0)", low=0, high=1000)
    ray_address: str | None = option(
        None, "a ray cluster, or auto (default: one on this machine, for the grid)", metavar="HOST:PORT"
    )
    slurm_partition: str | None = option(
        None, "Slurm's partition (default: the cluster's)", pattern=FREE_TEXT, metavar="NAME"
    )
    slurm_minutes: int | None = option(
        None, "Slurm ends a run that takes longer (default: a day)", low=1, high=1_000_000
    )
    slurm_local: bool = option(False, "what --engine slurm does, as processes of this machine: to try it without Slurm")
