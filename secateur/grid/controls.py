"""`--controls`: beside each run of a grid that prunes, runs of what it must beat. Free of torch.

A control has the data, the training, the seed and the number of epochs of the run that it controls:

- dense: the network without pruning;
- same_parameters, same_flops: a dense network of the same family, made narrower before training (criterion Narrower)
  until it has no more parameters, or effective FLOPs, than the finished run has kept: fewer by less than what one more
  channel would add. Of a run that starts from a checkpoint there is none;
- same_densities: weights chosen at random before training, of each layer as many as the finished run has kept;
- shuffled: the run again, its final mask permuted within each layer (`--shuffle_masks`);
- reinitialised: the run again, with new weights under its final mask (`--reinitialise`).

The last three are the sanity checks of Su et al. (2020, "Sanity-Checking Pruning Methods: Random Tickets Can Win the
Jackpot") and Frankle et al. (2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?"). Of
criteria of channels there are neither masks nor densities: with new weights their network is one of random channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pluggy

from secateur.config.command_line import Reading, read
from secateur.config.registry import Registry
from secateur.grid.trials import Settings, Trial, argv_of
from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError

#: Controls that follow from the results of a finished run.
OF_RESULTS = ("same_parameters", "same_flops", "same_densities")
#: Those that are the run again with a switch.
SWITCHES = {"shuffled": "shuffle_masks", "reinitialised": "reinitialise"}
DENSE, RANDOM, NARROWER = "EmptyCrit", "UnstructuredRandom", "Narrower"
#: Controls that say nothing of a criterion: it removes channels, or draws weights at random itself.
SENSELESS = {"units": ("same_densities", "shuffled"), RANDOM: ("same_densities", "shuffled")}
#: A layer of which a larger fraction is kept was not pruned: weights are zero by chance.
WHOLE = 1 - 1e-5
#: The largest sparsity of `--layer_sparsity`, which is below 1: of no layer anything is left.
ALL = 1 - 1e-12


def controls_of(
    runs: Sequence[Settings], wanted: Iterable[str], registry: Registry, hooks: pluggy.PluginManager
) -> list[Settings]:
    """Return the controls of the runs of a grid; of the dense network one for all that are trained alike."""
    readings = [read(argv_of(one), registry, hooks) for one in runs]
    dense = [_dense(one, reading, registry, hooks) for one, reading in zip(runs, readings, strict=True)]
    there = [own for own, reading in zip(dense, readings, strict=True) if _criterion(reading) == DENSE]
    found = []
    for one, reading, own in zip(runs, readings, dense, strict=True):
        if _prunes(reading):
            if "dense" in wanted and own not in there:
                there.append(own)
                found.append(own)
            found += [control for control in _of_one(one, reading, own) if control["control"][0] in wanted]
    return found


def _prunes(reading: Reading) -> bool:
    """Whether a run prunes, and is no test and no control already."""
    ablated = {*SWITCHES.values(), "control", "eval"} & reading.typed.keys()
    nothing = reading.value("compression") == 1 or reading.value("pruning_limit") == 0
    return not (ablated or nothing or _criterion(reading) in (DENSE, NARROWER))


def _criterion(reading: Reading) -> str:
    return reading.components["prune_criterion"].name


def _of_one(settings: Settings, reading: Reading, dense: Settings) -> Iterator[Settings]:
    """Every control of one run but the dense network."""
    source = reading.components["prune_criterion"].source
    unit = source.literal("unit") if source else "weights"
    senseless = {*SENSELESS.get(unit, ()), *SENSELESS.get(_criterion(reading), ())}
    # Nothing trains new weights after training, and gates of a trainer are of the weights that it has trained.
    own_trainer = "train_scheme" in reading.components["prune_criterion"].implies
    senseless |= {"reinitialised"} if own_trainer or reading.value("prune_moment") == "after" else set()
    # What is left of a trained network is not one that was trained narrower.
    senseless |= {"same_parameters", "same_flops"} if reading.checkpoints or reading.external else set()
    names = {"control_of": (f"_{Trial(settings, {}).key}",)}  # which no program takes for a number
    narrower, outer = {"prune_criterion": (NARROWER,)}, {"outer_layer_pruning": ()}
    found = {
        "same_parameters": dense | narrower,
        "same_flops": dense | narrower,
        "same_densities": dense | {"prune_criterion": (RANDOM,)} | outer,
        **{kind: settings | {switch: ()} for kind, switch in SWITCHES.items()},
    }
    yield from ({**own, "control": (kind,), **names} for kind, own in found.items() if kind not in senseless)


def _dense(settings: Settings, reading: Reading, registry: Registry, hooks: pluggy.PluginManager) -> Settings:
    """The run without pruning: what its criterion has set goes too, and epochs before pruning join the others."""
    declared = reading.parser.declared
    implied = {"prune_criterion", *reading.components["prune_criterion"].implies}
    kept = {}
    for flag, words in settings.items():
        one = declared.get(flag)
        named = one is None or flag in implied or (one.option.stands_for or ("",))[0] in implied
        if not named and one.title != "pruning" and one.kind != "criterions":
            kept[flag] = words
    if reading.value("pre_epochs"):
        levels = reading.value("experiment") == "multishot"  # which train the dense network again and again
        epochs = reading.value("epochs") + (0 if levels else reading.value("pre_epochs"))
        kept = {flag: words for flag, words in kept.items() if flag != "pre_epochs"} | {"epochs": (str(epochs),)}
    kept |= {"prune_criterion": (DENSE,)}
    own = read(argv_of(kept), registry, hooks)
    known = {flag for flag, one in own.parser.declared.items() if not one.kind}
    known |= {one.option.flag for component in own.components.values() for one in component.declared()}
    return {flag: words for flag, words in sorted(kept.items()) if flag in known}


def flags_of_results(trial: Trial, folders: dict[str, list[Path]]) -> list[str]:
    """Return the words that a control adds to its command line, which follow from the run that it controls.

    `folders` are those of the grid's runs by key, the newest last. Raises `UserError` where that run has not finished.
    """
    (kind,), (key,) = (trial.settings.get(flag, ("",)) for flag in ("control", "control_of"))
    if kind not in OF_RESULTS:
        return []
    results = next(filter(None, map(_results, reversed(folders.get(key[1:], [])))), None)
    if results is None:
        raise UserError(f"--control_of {key}: the run that this one is a control of has not finished")
    try:
        if kind != "same_densities":
            what, figure = ("params", "parameters_kept") if kind == "same_parameters" else ("flops", "flops_effective")
            return ["--target", f"{what}={int(results[figure])}"]
        densities = {name: float(density) for name, density in results["layer_densities"].items()}
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"--control_of {key}: its results.json does not say what is left of the network") from error
    pruned = [f"{name}={min(1 - density, ALL):.12f}" for name, density in densities.items() if density <= WHOLE]
    whole = [name for name, density in densities.items() if density > WHOLE]
    given = {"--layer_sparsity": pruned, "--ignore_layers": whole}
    return [*itertools.chain(*([flag, ",".join(names)] for flag, names in given.items() if names))]


def waits_for(trial: Trial) -> str | None:
    """The key of the run that must have ended before this one begins; None where there is none."""
    kind = trial.settings.get("control", ("",))[0]
    return trial.settings["control_of"][0][1:] if kind in OF_RESULTS else None


def _results(folder: Path) -> dict[str, Any] | None:
    try:
        found = read_checksummed(folder / "output" / "results.json")
    except (OSError, ValueError):
        return None
    return None if found.get("interrupted") else found
