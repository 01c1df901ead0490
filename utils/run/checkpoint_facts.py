"""Finds a checkpoint and reads what it is of. Free of torch: the command line needs it to know the options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError, nearest, one_line
from utils.run.files import read_sealed

#: The layout of a checkpoint's two files; another number is refused rather than misread.
FORMAT = 1
#: What the name of a run folder begins with.
DATE = re.compile(r"\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d(\.\d+)?_?")


@dataclass(frozen=True)
class Checkpoint:
    """A network on disk: `path`.safetensors and `path`.json."""

    path: Path
    #: What the network is and how far it was trained; see `save_checkpoint`.
    facts: dict[str, Any]


def find_checkpoint(results: Path, run: str, model: str | None) -> Checkpoint:
    """Find a checkpoint by `--checkpoint_name` (a folder of `results`, a path, or latest) and `--checkpoint_model`.

    Without the latter it is the one that ends in `_finished`. Its path is absolute. Raises `UserError` naming what is
    there instead.
    """
    try:
        path = _find(results.absolute(), run, model)
    except OSError as error:  # as of a name longer than any file's
        raise UserError(f"--checkpoint_name: {error.strerror or error}: '{run[:50]}'") from error
    try:
        facts = _checked(read_sealed(beside(path, ".json")))
    except (OSError, ValueError) as error:
        raise UserError(f"the checkpoint {path}.json cannot be read: {one_line(error)}") from error
    return Checkpoint(path, facts)


def labels(checkpoints: list[Checkpoint]) -> list[str]:
    """Return a short name for each checkpoint: its run's without the date, with as much more as tells them apart."""
    folders = [checkpoint.path.parent.parent.name for checkpoint in checkpoints]
    short = [DATE.sub("", folder) or folder for folder in folders]
    with_model, full = (
        [f"{name}/{checkpoint.path.name}" for name, checkpoint in zip(names, checkpoints, strict=True)]
        for names in (short, folders)
    )
    for names in (short, with_model, folders, full):
        if len(set(names)) == len(names):
            return names
    return [f"{name} {number}" for number, name in enumerate(full, start=1)]


def beside(path: Path, ending: str) -> Path:
    """`path` with an ending; a name may hold dots itself."""
    return path.with_name(path.name + ending)


def _find(results: Path, run: str, model: str | None) -> Path:
    folder = _run_folder(results, run)
    there = sorted(path.stem for path in (folder / "models").glob("*.json"))
    if model is None:
        finished = [name for name in there if name.endswith("_finished")]
        if not finished:
            found = f"there is {', '.join(there)}" if there else "it holds no checkpoint"
            raise UserError(f"{folder} has no finished network ({found}): name one with --checkpoint_model")
        model = finished[0]
    if model not in there:
        raise UserError(f"--checkpoint_model: {folder / 'models'} holds no '{model}'{nearest(model, there)}")
    return folder / "models" / model


def _run_folder(results: Path, run: str) -> Path:
    if run != "latest":
        for folder in (results / run, Path(run).absolute()):
            if (folder / "models").is_dir():
                return folder
        names = [path.name for path in results.glob("*") if (path / "models").is_dir()]
        raise UserError(f"--checkpoint_name: there is no run folder '{run}' in {results}{nearest(run, names)}")
    # A run that is still going, or an evaluation, has no finished network.
    finished = sorted(results.glob("*/models/*_finished.json"), key=lambda path: path.stat().st_mtime_ns)
    if not finished:
        raise UserError(f"--checkpoint_name latest: no run in {results} has finished yet")
    return finished[-1].parent.parent


def _checked(facts: dict[str, Any]) -> dict[str, Any]:
    """Refuse, as `ValueError`, what `save_checkpoint` never writes: the file is damaged or was edited."""

    def whole(value: Any, low: int, high: int) -> bool:
        return type(value) is int and low <= value <= high

    def are_cuts(value: Any) -> bool:
        events = value if isinstance(value, list) else [None]
        cuts = [cut for event in events for cut in (event if isinstance(event, list) else [None])]
        return all(
            isinstance(cut, list)
            and len(cut) == 2
            and isinstance(cut[0], str)
            and isinstance(cut[1], list)
            and all(whole(channel, 0, 10**7) for channel in cut[1])
            for cut in cuts
        )

    if facts.get("format") != FORMAT:
        raise ValueError(f"its format is {facts.get('format')!r}, and this version reads {FORMAT}")
    shape = facts.get("input_shape")
    right = {
        "model": isinstance(facts.get("model"), str),
        "data_set": isinstance(facts.get("data_set"), str),
        "input_shape": isinstance(shape, list) and len(shape) == 3 and all(whole(size, 1, 4096) for size in shape),
        "num_classes": whole(facts.get("num_classes"), 1, 10**6),
        "options": isinstance(facts.get("options"), dict),
        # Checkpoints of the first versions did not say these.
        "prune_criterion": isinstance(facts.get("prune_criterion", ""), str),
        "loss": isinstance(facts.get("loss", ""), str),
        "data_dir": isinstance(facts.get("data_dir", ""), str),
        "data_options": isinstance(facts.get("data_options", {}), dict),
        "cuts": are_cuts(facts.get("cuts", [])),
        "seed": whole(facts.get("seed", 0), 0, 2**32 - 1),
    }
    for name, is_right in right.items():
        if not is_right:
            said = f"is {facts[name]!r}"[:80] if name in facts else "is missing"
            raise ValueError(f"its {name} {said}")
    return {**facts, "input_shape": tuple(shape)}
