"""Finds checkpoints, states and files of weights, and reads what they are of. Free of torch: the command line asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError, nearest, one_line

#: The layout of a checkpoint's two files; another number is refused rather than misread.
FORMAT = 1
#: What the name of a run folder begins with.
DATE = re.compile(r"\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d(\.\d+)?_?")
#: The key of a run, with which a grid ends its name.
KEY = re.compile(r"_[0-9a-f]{8}$")


@dataclass(frozen=True)
class Checkpoint:
    """A network on disk: `path`.safetensors and `path`.json."""

    path: Path
    #: What the network is and how far it was trained; see `save_checkpoint`.
    metadata: dict[str, Any]


def find_checkpoint(results: Path, run: str, model: str | None) -> Checkpoint:
    """Find a checkpoint by `--checkpoint_name` (a folder of `results`, a path, or latest) and `--checkpoint_model`.

    Without the latter it is the one that ends in `_finished`. Its path is absolute. Raises `UserError` naming what is
    there instead.
    """
    try:
        path = _find(results.absolute(), run, model)
    except OSError as error:  # as of a name longer than any file's
        raise UserError(f"--checkpoint_name: {error.strerror or error}: '{run[:50]}'") from error
    return Checkpoint(path, read_metadata(path, _checked))


def folders_named(results: Path, names: str) -> list[str]:
    """The run folders that are named between commas, which may be part of a name: the longest that is there counts."""
    parts, found = names.split(","), []
    while parts:
        ends = (end for end in range(len(parts), 1, -1) if _is_folder(results, ",".join(parts[:end])))
        end = next(ends, 1)
        found.append(",".join(parts[:end]))
        parts = parts[end:]
    return found


def _is_folder(results: Path, name: str) -> bool:
    try:
        return (results / name / "models").is_dir() or (Path(name) / "models").is_dir()
    except (OSError, ValueError):  # as of a name longer than any file's
        return False


def read_metadata(path: Path, check: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Any]:
    """Return what `path`.json says of a checkpoint, as `check` returns it.

    Raises `UserError` where it cannot be read, is of another version, or holds what no checkpoint does.
    """
    try:
        metadata = read_checksummed(beside(path, ".json"))
        if metadata.get("format") != FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, and this version reads {FORMAT}")
        right = {
            "model": isinstance(metadata.get("model", ""), str),
            "cuts": _are_removals(metadata.get("cuts", [])),
            "input_shape": _is_shape(metadata.get("input_shape")),
        }
        _refuse(metadata, right)
        return check(metadata)
    except (OSError, ValueError) as error:
        raise UserError(f"the checkpoint {path}.json cannot be read: {one_line(error)}") from error


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_shape(value: Any) -> bool:
    """Whether this is the shape of an image, or None of a network that none is known of."""
    return value is None or (isinstance(value, list) and all(_is_whole(size, 1, 4096) for size in value[:9]))


def _are_removals(value: Any) -> bool:
    """Whether this is a list of pruning steps, each a list of [layer, [channel, ...]]."""
    steps = value if isinstance(value, list) else [None]
    removals = [removal for step in steps for removal in (step if isinstance(step, list) else [None])]
    return all(
        isinstance(removal, list)
        and len(removal) == 2
        and isinstance(removal[0], str)
        and isinstance(removal[1], list)
        and all(_is_whole(channel, 0, 10**7) for channel in removal[1])
        for removal in removals
    )


def labels(checkpoints: list[Checkpoint]) -> list[str]:
    """Return a short name for each checkpoint: its run's without the date, with as much more as tells them apart.

    The key of a grid's run, and what the names of all begin or end with, are left out where the rest tells them apart.
    """
    folders = [checkpoint.path.parent.parent.name for checkpoint in checkpoints]
    short = [DATE.sub("", folder) or folder for folder in folders]
    shortest = _without_common_ends([KEY.sub("", name) or name for name in short])
    with_model, full = (
        [f"{name}/{checkpoint.path.name}" for name, checkpoint in zip(names, checkpoints, strict=True)]
        for names in (short, folders)
    )
    for names in (shortest, short, with_model, folders, full):
        if len(set(names)) == len(names):
            return names
    return [f"{name} {number}" for number, name in enumerate(full, start=1)]


def _without_common_ends(names: list[str]) -> list[str]:
    """The names without words between _ that all begin or end with; as they are where nothing would be left of one."""
    words = [name.split("_") for name in names]
    for _ in range(2):  # from the start; then, turned round, from the end; and turned back
        shared = next((place for place, column in enumerate(zip(*words, strict=False)) if len(set(column)) > 1), None)
        if shared is None:
            return names
        words = [one[shared:][::-1] for one in words]
    return ["_".join(one) for one in words]


def beside(path: Path, ending: str) -> Path:
    """`path` with an ending; a name may hold dots itself."""
    return path.with_name(path.name + ending)


def _find(results: Path, run: str, model: str | None) -> Path:
    folder = _run_folder(results, run)
    there = sorted(path.stem for path in (folder / "models").iterdir() if path.suffix == ".json")
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
    folders = [path.parent.parent for path in reversed(finished)]
    latest = next((folder for folder in folders if not is_smoke(folder)), None)
    if latest is None:
        but = f" but smoke runs, as {folders[0].name}, which are named by their folder" if folders else ""
        raise UserError(f"--checkpoint_name latest: no run in {results} has finished yet{but}")
    return latest


def is_smoke(folder: Path) -> bool:
    """Whether a run was one of `--smoke`, whose network is of no use; of a folder that cannot be read, False."""
    try:
        return read_checksummed(folder / "output" / "arguments.json").get("smoke") is True
    except (OSError, ValueError):
        return False


def check_network(metadata: dict[str, Any]) -> dict[str, Any]:
    """Refuse, as `ValueError`, what does not say how a network is built, by its class's name."""
    right = {
        "model": isinstance(metadata.get("model"), str),
        "input_shape": isinstance(metadata.get("input_shape"), list) and len(metadata["input_shape"]) == 3,
        "num_classes": _is_whole(metadata.get("num_classes"), 1, 10**6),
        "options": isinstance(metadata.get("options", {}), dict),
    }
    _refuse(metadata, right)
    return {"options": {}, **metadata, "input_shape": tuple(metadata["input_shape"])}


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """Refuse, as `ValueError`, what a run never writes: the file is damaged or was edited."""
    right = {
        "data_set": isinstance(metadata.get("data_set"), str),
        "options": isinstance(metadata.get("options"), dict),
        # Checkpoints of the first versions did not say these.
        "prune_criterion": isinstance(metadata.get("prune_criterion", ""), str),
        "loss": isinstance(metadata.get("loss", ""), str),
        "data_dir": isinstance(metadata.get("data_dir", ""), str),
        "data_options": isinstance(metadata.get("data_options", {}), dict),
        "seed": _is_whole(metadata.get("seed", 0), 0, 2**32 - 1),
    }
    _refuse(metadata, right)
    return check_network(metadata)


def _refuse(metadata: dict[str, Any], right: dict[str, bool]) -> None:
    """Raise `ValueError` naming the first entry that is not right."""
    for name, is_right in right.items():
        if not is_right:
            said = f"is {metadata[name]!r}"[:80] if name in metadata else "is missing"
            raise ValueError(f"its {name} {said}")


#: The layout of a state's two files and of the tree in them; the first versions had that of checkpoints, 1.
STATE_FORMAT = 2


def states_in(folder: Path) -> list[Path]:
    """Return the states in a folder, without endings, the oldest first.

    The json is written last: without it there is no state. Raises `OSError` where the folder cannot be read.
    """
    files = [*folder.iterdir()] if folder.is_dir() else []
    return sorted((path.with_suffix("") for path in files if path.match("state_*.json")), key=number_of)


def number_of(path: Path) -> int:
    """Return the number of a state; they are counted through a run."""
    digits = path.name.removeprefix("state_")
    return int(digits) if digits.isdecimal() else 0


def other_format(folder: Path) -> Any:
    """Return the format of the last state that can be read, where it is not that of this version; else None."""
    for path in reversed(states_in(folder)):
        try:
            found = read_checksummed(path.with_suffix(".json"))["format"]
        except (OSError, ValueError, KeyError):
            continue  # it is damaged: `read_last_state` says so
        return None if found == STATE_FORMAT else found
    return None


#: What such a file's name ends in.
ENDINGS = (".pth", ".pt", ".pth.tar", ".ckpt", ".safetensors")


def find_external(results: Path, run: str | None, model: str | None) -> Path | None:
    """Find what `--checkpoint_model` names where that is a file by its ending; None where it is a checkpoint's name.

    With `--checkpoint_name` it lies within that folder, or its models/, and cannot leave it; otherwise it is a path.
    The result is absolute. Raises `UserError` naming what is there instead.
    """
    if not (model or "").lower().endswith(ENDINGS):
        return None
    try:
        return Path(model).absolute() if run is None and Path(model).is_file() else _find_file(results, run, model)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # as of a name longer than any file's, or with a zero byte
        raise UserError(f"--checkpoint_model: {getattr(error, 'strerror', None) or error}: '{model[:50]}'") from error


def _find_file(results: Path, run: str | None, model: str) -> Path:
    if run is None:
        folders = [Path(model).absolute().parent]
        name = Path(model).name
    else:
        folder = next((place for place in (results / run, Path(run).absolute()) if place.is_dir()), None)
        if folder is None:
            raise UserError(f"--checkpoint_name: there is no folder '{run}' in {results}")
        folders, name = [folder / "models", folder], model
        for path in (place / name for place in folders):
            if not path.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"--checkpoint_model {model} lies outside of {folder}: leave --checkpoint_name out")
            if path.is_file():
                return path.absolute()
    there = [path.name for place in folders for path in sorted(place.glob("*")) if path.name.endswith(ENDINGS)]
    advice = "; one such file at a time" if "," in model else nearest(name, there)
    raise UserError(f"--checkpoint_model: there is no file {folders[-1] / name}{advice}")
