"""The folder of a run: `<date>_<time>_<run_name>/` with codebase/, output/, models/ and progress/."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import shlex
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from secateur.config.kinds import KINDS
from secateur.config.places import CHECKOUT, PACKAGE
from secateur.config.settings import Settings
from secateur.runs.files import make_new_folder, read_checksummed, write_atomically, write_checksummed, write_json
from secateur.utils.errors import UserError, one_line

PARTS = ("codebase", "output", "models", "progress")
#: How far the clocks of machines that share a folder may be apart, in seconds.
CLOCKS_APART = 60
#: Packages whose version can change a result.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "safetensors", "pluggy")


class RunFolder:
    """The folder of a run that is there; `new` makes one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.codebase, self.output, self.models, self.progress = (path / part for part in PARTS)
        #: What `--resume` goes on from, as long as the run has not finished; see secateur/runs/checkpoint.py.
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

    def clock_notices(self) -> list[str]:
        """Say that something beside the folder is of later than now: the clock has been set back."""
        with contextlib.suppress(OSError), os.scandir(self.path.parent) as beside:
            others = [one for one in beside if one.name != self.path.name]
            newest, name = max(((one.stat().st_mtime, one.name) for one in others), default=(0, ""))
            if newest > time.time() + CLOCKS_APART:
                return [
                    f"the clock has been set back: {name}, beside this run, is of "
                    f"{datetime.datetime.fromtimestamp(newest):%Y-%m-%d %H:%M}; `latest` and the order of runs go by "
                    "the clock, so name this run by its folder"
                ]
        return []

    def changes(self, device: torch.device, plugins: dict[str, str]) -> list[str]:
        """Say what the run would go on with that is not what it began with: code, packages, device."""
        try:
            before = read_checksummed(self.output / "environment.json")
        except (OSError, ValueError) as error:
            return [f"what the run began with cannot be read: {one_line(error)}"]
        now = environment(device, plugins)
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

    def describe(self, argv: list[str], settings: Settings, device: torch.device, plugins: dict[str, str]) -> None:
        """Write down everything that makes the run repeatable: code, command, arguments, environment."""
        copy_sources(self.codebase)
        copy_own_components(settings, self.codebase)
        write_atomically(self.output / "calling_command.txt", self._command(argv, settings))
        write_checksummed(self.output / "arguments.json", settings.recorded())
        write_json(self.output / "environment.json", environment(device, plugins))

    def _command(self, argv: list[str], settings: Settings) -> str:
        # Of what was typed, these may have meant another place there.
        elsewhere = [f"--{flag}={value}" for flag, value in settings.paths().items() if value and flag != "components"]
        return (
            f"{shlex.join(['python3', 'main.py', *argv])}\n"
            f"# called in {Path.cwd()}; to repeat it with the code as it was:\n"
            f"# cd {shlex.quote(str(self.codebase))} && {shlex.join(['python3', 'main.py', *argv, *elsewhere])}\n"
        )


def copy_sources(target: Path) -> None:
    """Copy what a run needs of the source tree, as it is: a copy of a checkout, or of an installed package, can run."""
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.part")
    shutil.copytree(PACKAGE, target / PACKAGE.name, ignore=skip)
    if CHECKOUT is None:
        return
    for folder in (*KINDS, "utils"):
        shutil.copytree(CHECKOUT / folder, target / folder, ignore=skip)
    for path in [*CHECKOUT.glob("*.py"), CHECKOUT / "requirements.txt", CHECKOUT / "pyproject.toml"]:
        if path.is_file():
            shutil.copy2(path, target / path.name)


def copy_own_components(settings: Settings, target: Path) -> None:
    """Copy the folders of the user's own components that a run consists of to where Secateur's lie in the copy."""
    home = target if CHECKOUT else target / PACKAGE.name
    for component in settings.components.values():
        path = component.path
        if path and path.parent.name == component.kind and not path.is_relative_to(CHECKOUT or PACKAGE):
            for file in path.parent.glob("*.py"):
                if not (home / component.kind / file.name).exists():
                    shutil.copy2(file, home / component.kind / file.name)


def environment(device: torch.device, plugins: dict[str, str]) -> dict[str, object]:
    """What the run ran on: versions, plugins, git commit, device."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    changes = _git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "packages": versions,
        "plugins": plugins,
        "git_commit": _git("rev-parse", "HEAD"),
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
    """How oneDNN may multiply float32 matrices, see training/precision.py; None where torch has no say in it."""
    settings = getattr(getattr(torch.backends, "mkldnn", None), "matmul", None)
    return getattr(settings, "fp32_precision", None)


def _git(*command: str) -> str | None:
    """Ask git about the source tree; None where there is no git, or the tree is no checkout of its own."""
    if CHECKOUT is None or not (CHECKOUT / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(CHECKOUT), *command], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
