"""The folder of a run: `<date>_<time>_<run_name>/` with codebase/, output/, models/ and progress/."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from utils.errors import UserError, one_line
from utils.kinds import KINDS
from utils.run.files import make_new_folder, read_sealed, write_atomically, write_json, write_sealed

PARTS = ("codebase", "output", "models", "progress")
#: Of the arguments, what is no setting of the run.
NO_SETTINGS = ("checkpoint", "checkpoints", "data_options", "explicit", "foreign_weights", "general", "help", "list")
#: Packages whose version can change a result.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "safetensors", "pluggy")


class RunFolder:
    """The folder of a run that is there; `new` makes one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.codebase, self.output, self.models, self.progress = (path / part for part in PARTS)
        #: What `--resume` goes on from, as long as the run has not finished; see utils/run/states.py.
        self.state = path / "state"

    @classmethod
    def new(cls, results: Path, run_name: str) -> RunFolder:
        """Make a folder of its own for a run below `results`: a name that is there is never used again.

        Raises `UserError` where it cannot be made (read-only, full, a file in its place), leaving nothing behind.
        """
        folder = None
        try:
            folder = cls(make_new_folder(results, run_name))
            for part in PARTS:
                (folder.path / part).mkdir()
        except OSError as error:
            if folder:
                folder.remove()
            raise UserError(f"--results_dir {results}: no run folder can be made there: {error.strerror}") from error
        return folder

    def remove(self) -> None:
        """Delete the folder: for a run that could not start."""
        shutil.rmtree(self.path, ignore_errors=True)

    def remove_states(self) -> None:
        """Delete what `--resume` would have needed."""
        shutil.rmtree(self.state, ignore_errors=True)

    def changes(self, root: Path, device: torch.device, plugins: dict[str, str]) -> list[str]:
        """Say what the run would go on with that is not what it began with: code, packages, device."""
        try:
            before = read_sealed(self.output / "environment.json")
        except (OSError, ValueError) as error:
            return [f"what the run began with cannot be read: {one_line(error)}"]
        now = environment(root, device, plugins)
        told = []
        for name in ("git_commit", "packages", "plugins", "device"):
            old, new = ({**one} if isinstance(one, dict) else {name: one} for one in (before.get(name), now[name]))
            told += [
                f"the run has begun with {what.replace('_', ' ')} {old.get(what)} and goes on with {new.get(what)}: "
                "its numbers may be others than without the interruption"
                for what in dict.fromkeys([*old, *new])
                if old.get(what) != new.get(what)
            ]
        return told

    def describe(
        self, root: Path, argv: list[str], arguments: argparse.Namespace, device: torch.device, plugins: dict[str, str]
    ) -> None:
        """Write down everything that makes the run repeatable: code, command, arguments, environment."""
        copy_sources(root, self.codebase)
        settings = settings_of(arguments)
        write_atomically(self.output / "calling_command.txt", self._command(argv, settings))
        write_sealed(self.output / "arguments.json", {**settings, "explicit": arguments.explicit})
        write_json(self.output / "environment.json", environment(root, device, plugins))

    def _command(self, argv: list[str], settings: dict[str, object]) -> str:
        # Of what was typed, these may have meant another place there.
        places = ("data_dir", "results_dir", "checkpoint_model", "checkpoint_name")
        elsewhere = [f"--{name}={settings[name]}" for name in places if settings[name]]
        return (
            f"{shlex.join(['python3', 'main.py', *argv])}\n"
            f"# called in {Path.cwd()}; to repeat it with the code as it was:\n"
            f"# cd {shlex.quote(str(self.codebase))} && {shlex.join(['python3', 'main.py', *argv, *elsewhere])}\n"
        )


def settings_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What arguments.json holds of the arguments, beside the names of those that were typed."""
    return {name: value for name, value in vars(arguments).items() if name not in NO_SETTINGS}


def copy_sources(root: Path, target: Path) -> None:
    """Copy what a run needs of the source tree: main.py, the component folders, utils and the lists of requirements."""
    for folder in (*KINDS, "utils"):
        skip = shutil.ignore_patterns("__pycache__", ".*", "*.part")
        shutil.copytree(root / folder, target / folder, ignore=skip)
    for path in [*root.glob("*.py"), root / "requirements.txt", root / "pyproject.toml"]:
        if path.is_file():
            shutil.copy2(path, target / path.name)


def environment(root: Path, device: torch.device, plugins: dict[str, str]) -> dict[str, object]:
    """What the run ran on: versions, plugins, git commit, device."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    changes = _git(root, "status", "--porcelain")
    return {
        "python": platform.python_version(),
        "packages": versions,
        "plugins": plugins,
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_changes": None if changes is None else bool(changes),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "onednn_products": _onednn_products(),
        "platform": platform.platform(),
        "host": platform.node(),
        "process": os.getpid(),
    }


def _onednn_products() -> str | None:
    """How oneDNN may multiply float32 matrices, see utils/training/cpu.py; None where torch has no say in it."""
    settings = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    return getattr(settings, "fp32_precision", None)


def _git(root: Path, *command: str) -> str | None:
    """Ask git about the source tree; None where there is no git, or the tree is no checkout of its own."""
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
