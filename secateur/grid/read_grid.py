"""Whether a command line asks for a grid, and for which: every run of it is checked. Free of torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pluggy

from secateur.config.command_line import parse
from secateur.config.places import home
from secateur.config.registry import Registry
from secateur.config.smoke import few_of
from secateur.grid.combinations import OF_MANY_RUNS, Reader, flags_of
from secateur.grid.controls import controls_of
from secateur.grid.grid_file import GridFile, read_grid_file
from secateur.grid.options import GridOptions
from secateur.grid.trials import Grid, Settings, digits, trials_of
from secateur.utils.errors import UserError
from secateur.utils.terminal import progress_bar

#: These name the folder of the grid, and belong to no run.
PLACES = ("results_dir", "run_name")


def read_grid(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> Grid | None:
    """Return the grid that a command line asks for by several values or by a flag for many runs; None for one run.

    Every run's command line is parsed. Raises `UserError` for what cannot be right in any of them. A question, as
    `--help`, is answered for the first of the runs.
    """
    typed = dict(flags_of(argv))
    asked = {"help", "h"} & typed.keys()
    if {"list", "report", "board", "completion"} & typed.keys():
        return None
    if not ("," in "".join(argv) or OF_MANY_RUNS & typed.keys()):
        return None
    reader = Reader(registry, hooks)
    typed = reader.canonical(typed)
    own = {flag: typed.pop(flag) for flag in [*typed] if flag in OF_MANY_RUNS}
    anyway = typed.pop("resume_anyway", None) is not None
    options = GridOptions(**reader.read(own))
    _check(options)
    file = read_grid_file(options.grid) if options.grid else GridFile()
    common = reader.canonical(file.common, file.path)
    places = {flag: common.pop(flag) for flag in PLACES if flag in common}
    places |= {flag: typed.pop(flag) for flag in PLACES if flag in typed}
    said = reader.read({flag: reader.alternatives(flag, value)[0] for flag, value in places.items()})
    results_dir = (said.get("results_dir") or home() / "gitignored" / "results").absolute()
    try:
        settings = list(reader.expand(file, common, typed, results_dir))
        if not own and len(settings) == 1:
            return None  # its comma is part of a value
        if asked:
            return Grid(trials_of(settings[:1]), results_dir, argv, options, "", asked=True)
        settings = _checked(settings, results_dir, registry, hooks)
    except UserError as error:
        if file.path is None:
            raise
        raise UserError(f"--grid {file.path}: {error}") from error
    smoke_of = len(settings) if all("smoke" in one for one in settings) else None
    if smoke_of:
        settings = [settings[number] for number in few_of(settings)]
    name = said.get("run_name") or digits(*sorted(trial.key for trial in trials_of(settings)))
    if options.controls:
        added = controls_of(settings, options.controls, registry, hooks)
        settings = [*settings, *_checked(added, results_dir, registry, hooks)]
    trials = [replace(trial, resume_anyway=anyway) for trial in trials_of(settings)]
    folder = results_dir / (f"grid_{name}_smoke" if smoke_of else f"grid_{name}")
    return Grid(trials, folder, argv, options, said.get("run_name", ""), reader.partial(settings), smoke_of=smoke_of)


def _checked(
    settings: list[Settings], results_dir: Path, registry: Registry, hooks: pluggy.PluginManager
) -> list[Settings]:
    """Parse each run's command line, and say where its checkpoint lies: the run is made elsewhere, and maybe later."""
    checked = []
    with progress_bar(len(settings), "runs") as advance:
        for trial in trials_of(settings):
            try:
                parsed = parse([*trial.argv, "--results_dir", str(results_dir)], registry, hooks)
            except UserError as error:
                which = ", ".join(f"{flag} {value}" for flag, value in trial.varying.items() if value is not None)
                raise UserError(f"{error} (of the run of {which})" if which else str(error)) from error
            found = {flag: parsed[flag] for flag in ("checkpoint_name", "checkpoint_model")}
            taken = {flag: (value,) for flag, value in found.items() if value}
            checked.append(trial.settings | taken)
            advance(1, "checking flags")
    return checked


def _check(options: GridOptions) -> None:
    """Refuse flags that would have no effect on the engine."""
    ray = {"ray_address": options.ray_address is not None}
    slurm = {
        "slurm_partition": options.slurm_partition is not None,
        "slurm_minutes": options.slurm_minutes is not None,
        "slurm_local": options.slurm_local,
    }
    shared = {flag: getattr(options, flag) is not None for flag in ("cpus_per_run", "gpus_per_run")}
    for engine, flags in (("ray", ray), ("slurm", slurm), ("ray or slurm", shared)):
        given = [flag for flag, typed in flags.items() if typed]
        if given and options.engine not in engine.split(" or "):
            raise UserError(f"--{given[0]} is for --engine {engine}")
