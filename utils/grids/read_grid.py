"""Whether a command line asks for a grid, and for which: every run of it is checked. Free of torch."""

from __future__ import annotations

import argparse
from pathlib import Path

import pluggy

from utils.arguments import parse
from utils.errors import UserError
from utils.grids.combinations import Reader, flags_of
from utils.grids.grid_file import GridFile, read_grid_file
from utils.grids.points import Grid, Settings, digits, points_of
from utils.registry import Registry
from utils.smoke import few_of

#: These name the folder of the grid, and belong to no run.
PLACES = ("results_dir", "run_name")


def read_grid(argv: list[str], registry: Registry, hooks: pluggy.PluginManager) -> Grid | None:
    """Return the grid that a command line asks for by several values or by a flag for many runs; None for one run.

    Every run's command line is parsed. Raises `UserError` for what cannot be right in any of them. A question, as
    `--help`, is answered for the first of the runs.
    """
    typed = dict(flags_of(argv))
    asked = {"list", "report", "help", "h"} & typed.keys()
    reader = Reader(registry, hooks)
    if {"list", "report"} & asked or not ("," in "".join(argv) or reader.of_many_runs & typed.keys()):
        return None
    typed = reader.canonical(typed)
    own = {flag: typed.pop(flag) for flag in [*typed] if flag in reader.of_many_runs}
    arguments = reader.read(own)
    _check(arguments)
    file = read_grid_file(arguments.grid) if arguments.grid else GridFile()
    common = reader.canonical(file.common, file.path)
    places = {flag: common.pop(flag) for flag in PLACES if flag in common}
    places |= {flag: typed.pop(flag) for flag in PLACES if flag in typed}
    arguments = reader.read(own | {flag: reader.alternatives(flag, value)[0] for flag, value in places.items()})
    try:
        settings = list(reader.expand(file, common, typed, arguments.results_dir))
        if not own and len(settings) == 1:
            return None  # its comma is part of a value
        if asked:
            settings = [{flag: words for flag, words in one.items() if flag not in ("h", "help")} for one in settings]
            return Grid(points_of(settings[:1]), arguments.results_dir, argv, arguments, asked=True)
        settings = _checked(settings, arguments.results_dir, registry, hooks)
    except UserError as error:
        if file.path is None:
            raise
        raise UserError(f"--grid {file.path}: {error}") from error
    smoke_of = len(settings) if all("smoke" in one for one in settings) else None
    if smoke_of:
        settings = [settings[number] for number in few_of(settings)]
    points = points_of(settings)
    name = arguments.run_name or digits(*sorted(point.key for point in points))
    folder = arguments.results_dir.absolute() / (f"grid_{name}_smoke" if smoke_of else f"grid_{name}")
    return Grid(points, folder, argv, arguments, reader.partial(settings), smoke_of=smoke_of)


def _checked(
    settings: list[Settings], results_dir: Path, registry: Registry, hooks: pluggy.PluginManager
) -> list[Settings]:
    """Parse each run's command line, and say where its checkpoint lies: the run is made elsewhere, and maybe later."""
    checked = []
    for point in points_of(settings):
        try:
            arguments = parse([*point.argv, "--results_dir", str(results_dir)], registry, hooks)
        except UserError as error:
            which = ", ".join(f"{flag} {value}" for flag, value in point.varying.items() if value is not None)
            raise UserError(f"{error} (of the run of {which})" if which else str(error)) from error
        found = {flag: getattr(arguments, flag) for flag in ("checkpoint_name", "checkpoint_model")}
        taken = {flag: (value,) for flag, value in found.items() if value}
        checked.append(point.settings | taken)
    return checked


def _check(arguments: argparse.Namespace) -> None:
    """Refuse flags that would have no effect on the engine."""
    ray = {"ray_address": arguments.ray_address is not None}
    slurm = {
        "slurm_partition": arguments.slurm_partition is not None,
        "slurm_minutes": arguments.slurm_minutes is not None,
        "slurm_local": arguments.slurm_local,
    }
    shared = {flag: getattr(arguments, flag) is not None for flag in ("cpus_per_run", "gpus_per_run")}
    for engine, flags in (("ray", ray), ("slurm", slurm), ("ray or slurm", shared)):
        given = [flag for flag, typed in flags.items() if typed]
        if given and arguments.engine not in engine.split(" or "):
            raise UserError(f"--{given[0]} is for --engine {engine}")
