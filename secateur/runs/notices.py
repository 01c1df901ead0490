"""What the user should know before a run: options without effect, slow choices."""

from __future__ import annotations

from secateur.config.option import Configurable
from secateur.config.settings import Settings
from secateur.config.source import Declared
from secateur.data.data_set import DataSet
from secateur.pruning.layers import told
from secateur.runs.run import Run


def notices_of(run: Run, data_set: DataSet) -> list[str]:
    """Return a line for typed flags without effect, a name that others use otherwise, and a slow number format."""
    notices = _idle_in_testing(run.settings) if run.checkpointing.eval else _idle_in_training(run, data_set)
    typed = run.settings["data_set"]
    if data_set.namesake and "data_set" in run.settings.given and typed != run.model_spec["data_set"]:
        notices.append(f"--data_set {typed}: {data_set.namesake}")
    if not run.checkpointing.eval and run.plan.pruning_steps and (line := told(run.pruner.left_out)):
        notices.append(line)
    if run.machine.execution != "dense" and run.device.type != "cpu":
        notices.append(f"--execution {run.machine.execution} skips zeros on CPUs alone: on {run.device} it is dense")
    if warning := run.precision.warning():
        notices.append(warning)
    return notices


def _idle_in_training(run: Run, data_set: DataSet) -> list[str]:
    settings, criterion = run.settings, run.criterion
    trainer = settings.components["train_scheme"].load()
    names = ", ".join(kind.__name__ for kind in (type(criterion), type(run.loss), trainer))
    given = {flag: settings.declared[flag] for flag in settings.declared if flag in settings.given}
    reasons = {flag: f"with {names}" for flag, one in given.items() if not _is_read(one, settings)}
    parts: tuple[Configurable, ...] = (criterion, run.pruner, run.loss, data_set)
    for part in parts:
        idle = {flag: why for flag, why in part.idle_options().items() if _is_typed(flag, settings)}
        reasons |= {flag: why or f"with {names}" for flag, why in idle.items()}
    loaded = settings.checkpoint or (settings.external_weights and not settings["partial_checkpoint"])
    if loaded and _is_typed("whitening", settings) and not settings["reinitialise"]:
        reasons["whitening"] = "where all weights are loaded"
    if not run.plan.pruning_steps:
        # What a trainer reads itself, as L0Trainer does; and a checkpoint may bring masks.
        used = {*trainer.reads, *(["disable_masking"] if settings.checkpoint else [])}
        pruning = [flag for flag, one in given.items() if one.kind == "criterions" or one.owner == "Pruner"]
        why = f"with {type(criterion).__name__}: name a criterion with --prune_criterion"
        reasons |= {flag: why for flag in pruning if flag not in used and _is_typed(flag, settings)}
    return [f"--{flag} has no effect {why}" for flag, why in reasons.items()]


def _is_typed(flag: str, settings: Settings) -> bool:
    """Whether a flag was typed, and says something."""
    return flag in settings.given and settings[flag] not in (None, False)


def _is_read(one: Declared, settings: Settings) -> bool:
    """Whether a class that is part of the run reads an option; a section's options are read by all."""
    if not one.kind:
        return True
    component = next((part for part in settings.components.values() if part.kind == one.kind), None)
    return component is not None and any(one.option.flag == other.option.flag for other in component.declared())


def _idle_in_testing(settings: Settings) -> list[str]:
    """Say which flags are of training and pruning alone, where a finished network is tested."""
    kinds = {"criterions", "trainers"}
    uses_criterion = bool(settings.components["test_scheme"].implies)  # as Merging, for its options
    idle = [
        flag
        for flag in sorted(settings.given)
        if (one := settings.declared[flag]).option.only_training
        or ((one.kind in kinds or one.owner == "Pruner") and not uses_criterion)
        or flag in ("prune_criterion", "train_scheme")
        or (flag == "N" and not settings["tuning"])
    ]
    if not idle:
        return []
    flags = ", ".join(f"--{flag}" for flag in idle)
    return [f"without effect with --eval, which trains and prunes nothing: {flags}"]
