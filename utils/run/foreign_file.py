"""Finds a file of weights of another project. Free of torch: the command line asks for it."""

from __future__ import annotations

from pathlib import Path

from utils.errors import UserError, nearest

#: What such a file's name ends in.
ENDINGS = (".pth", ".pt", ".pth.tar", ".safetensors")


def find_foreign(results: Path, run: str | None, model: str | None) -> Path | None:
    """Find what `--checkpoint_model` names where that is a file by its ending; None where it is a checkpoint's name.

    With `--checkpoint_name` it lies within that folder, or its models/, and cannot leave it; otherwise it is a path.
    The result is absolute. Raises `UserError` naming what is there instead.
    """
    if not (model or "").lower().endswith(ENDINGS):
        return None
    try:
        return Path(model).absolute() if run is None and Path(model).is_file() else _find(results, run, model)
    except (OSError, ValueError) as error:  # as of a name longer than any file's, or with a zero byte
        raise UserError(f"--checkpoint_model: {getattr(error, 'strerror', None) or error}: '{model[:50]}'") from error


def _find(results: Path, run: str | None, model: str) -> Path:
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
