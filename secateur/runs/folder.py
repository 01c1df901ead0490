"""The folder of a run: `<date>_<time>_<run_name>/` with codebase/, output/, models/ and progress/."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
import torch

from secateur.config.kinds import KINDS
from secateur.config.places import CHECKOUT, PACKAGE
from secateur.config.settings import Settings
from secateur.config.source import module_path
from secateur.hooks import plugin_packages, plugin_versions
from secateur.parallel.collectives import size
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.runs.files import checksum_of, make_new_folder, write_atomically, write_checksummed
from secateur.utils.errors import UserError

if TYPE_CHECKING:
    from secateur.runs.run import Run

PARTS = ("codebase", "output", "models", "progress")
#: How far the clocks of machines that share a folder may be apart, in seconds.
CLOCKS_APART = 60
#: Packages whose version can change a result.
PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow", "torch-pruning", "safetensors", "pluggy"),
)
#: Variables by which libraries choose how they multiply.
VARIABLES = (
    *("ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA", "MKL_CBWR"),
    *("MKL_ENABLE_INSTRUCTIONS", "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_MKLDNN_MATMUL_MIN_DIM"),
)


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

    def describe(self, argv: list[str], settings: Settings, environment: dict[str, Any]) -> None:
        """Write down everything that makes the run repeatable: code, command, arguments, environment."""
        copy_sources(sources_of(settings), self.codebase)
        write_atomically(self.output / "calling_command.txt", self._command(argv, settings))
        write_checksummed(self.output / "arguments.json", settings.recorded())
        write_checksummed(self.output / "environment.json", environment)

    def _command(self, argv: list[str], settings: Settings) -> str:
        # Of what was typed, these may have meant another place there.
        elsewhere = [f"--{flag}={value}" for flag, value in settings.paths().items() if value and flag != "components"]
        return (
            f"{shlex.join(['python3', 'main.py', *argv])}\n"
            f"# called in {Path.cwd()}; to repeat it with the code as it was:\n"
            f"# cd {shlex.quote(str(self.codebase))} && {shlex.join(['python3', 'main.py', *argv, *elsewhere])}\n"
        )


def copy_sources(sources: dict[str, Path], target: Path) -> None:
    """Copy source files to their places below `target`: a copy of a checkout, or of an installed package, can run."""
    for name, path in sources.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / name)


def sources_of(settings: Settings | None = None) -> dict[str, Path]:
    """What a run needs of the source tree, and of the user's own components, by its place in a copy."""
    root = CHECKOUT or PACKAGE.parent
    folders = [PACKAGE, *(root / folder for folder in (*KINDS, "utils"))] if CHECKOUT else [PACKAGE]
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and _is_source(path)]
    if CHECKOUT:
        more = [*CHECKOUT.glob("*.py"), CHECKOUT / "requirements.txt", CHECKOUT / "pyproject.toml"]
        found += [path for path in more if path.is_file()]
    sources = {path.relative_to(root).as_posix(): path for path in found}
    home = "" if CHECKOUT else f"{PACKAGE.name}/"
    for component in settings.components.values() if settings else ():
        path = component.path
        if path and path.parent.name == component.kind and not path.is_relative_to(CHECKOUT or PACKAGE):
            for file in sorted(path.parent.glob("*.py")):
                sources.setdefault(f"{home}{component.kind}/{file.name}", file)
    return sources


def _is_source(path: Path) -> bool:
    parts = path.relative_to(CHECKOUT or PACKAGE).parts
    return "__pycache__" not in parts and not any(part.startswith(".") for part in parts) and path.suffix != ".part"


def beginning(run: Run, hooks: pluggy.PluginManager) -> dict[str, Any]:
    """Return what environment.json holds: what the run runs on, and what its data and its own code are."""
    facts = environment(run.device, plugin_versions(hooks))
    facts["plugin_code"] = _plugin_code(run.settings, hooks)
    if run.checkpointing.eval:
        return facts
    facts["checkpoint"] = _checkpoint(run.settings)
    facts["networks"] = _networks(run.settings)
    facts["data"] = run.data.fingerprints()
    return facts


def environment(device: torch.device, plugins: dict[str, str]) -> dict[str, object]:
    """What the run ran on: versions, plugins, git commit, device."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    changes = _git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "packages": versions,
        "plugins": plugins,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": None if changes is None else bool(changes),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "processes": size(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "accelerator": _cuda() if device.type == "cuda" else None,
        "onednn_products": _onednn_products(),
        "variables": {name: os.environ.get(name) for name in VARIABLES},
        "platform": platform.platform(),
        "host": platform.node(),
        "process": os.getpid(),
    }


def _processor() -> str:
    """The model of the CPU, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _cuda() -> list[object]:
    """The versions of CUDA and cuDNN, and how matrices and convolutions may be rounded."""
    parts = (torch.backends.cuda.matmul, getattr(torch.backends.cudnn, "conv", None))
    rounding = [getattr(part, "fp32_precision", None) for part in parts]
    return [torch.version.cuda, torch.backends.cudnn.version(), *rounding]


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


def _checkpoint(settings: Settings) -> str | None:
    """The checksum of the network that training starts from."""
    if settings.external_weights:
        return checksum_of(settings.external_weights)
    checkpoint = settings.checkpoint
    return str(checkpoint.metadata.get("crc32")) if checkpoint else None


def _networks(settings: Settings) -> dict[str, str | None]:
    """The checksum of the finished network of each run that an option names, by its flag."""
    found = {}
    for flag, one in settings.declared.items():
        if one.option.is_run and (folder := settings[flag]):
            path = Path(folder)
            found[f"the network of --{flag}"] = str(find_checkpoint(path.parent, path.name, None).metadata.get("crc32"))
    return found


def _plugin_code(settings: Settings, hooks: pluggy.PluginManager) -> dict[str, str | None]:
    """The checksum of each module that was imported of the packages of plugins and of the run's components."""
    components = settings.components.values()
    packages = plugin_packages(hooks) | {component.module.partition(".")[0] for component in components}
    found = [name for name in sys.modules if name.partition(".")[0] in packages - {PACKAGE.name}]
    return {name: checksum_of_module(name) for name in sorted(found)}


def checksum_of_module(module: str) -> str | None:
    """The checksum of a module's file; None where it has none."""
    try:
        path = module_path(module)
        return checksum_of(path) if path else None
    except (OSError, ValueError):
        return None
