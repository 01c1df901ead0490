"""What decides a run's numbers beside its settings, and is not what it was when the run began."""

from __future__ import annotations

import ast
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pluggy

from secateur.config.kinds import KINDS
from secateur.config.places import PACKAGE
from secateur.runs.files import read_checksummed, read_text
from secateur.runs.folder import RunFolder, beginning, checksum_of_module, sources_of
from secateur.runs.run import Run
from secateur.utils.errors import one_line

#: Of environment.json, what decides numbers.
COMPARED = (
    *("python", "packages", "plugins", "plugin_code", "device", "device_name", "threads", "processes"),
    *("cpu_capability", "accelerator", "onednn_products", "variables", "checkpoint", "networks"),
)


def differences(run: Run, hooks: pluggy.PluginManager) -> Iterator[str]:
    """Yield a line for each thing that decides numbers and is not what it was when the run began."""
    folder = run.folder
    yield from _changed_code(folder, sources_of(run.settings))
    try:
        before = read_checksummed(folder.output / "environment.json")
    except (OSError, ValueError) as error:
        yield f"what the run began with cannot be read: {one_line(error)}"
        return
    now = json.loads(json.dumps(beginning(run, hooks)))
    yield from _changed_data(before.get("data"), now["data"])
    for name in COMPARED:
        old, new = before.get(name), now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            if name == "plugin_code":  # of what was imported then, which need not be imported by now
                new |= {module: checksum_of_module(module) for module in old.keys() - new.keys()}
            pairs = [(part, old[part], new.get(part)) for part in old]
        else:
            pairs = [(name, old, new)]
        for what, was, is_now in pairs:
            if was != is_now:
                what = f"the plugin's module {what}" if name == "plugin_code" else what.replace("_", " ")
                hint = f" (OMP_NUM_THREADS={was})" if name == "threads" and type(was) is int else ""
                yield f"the run has begun with {_shown(what)} {_shown(was)}{hint} and would go on with {_shown(is_now)}"


def _shown(value: Any) -> str:
    """A value of a file as a person reads it, without what a terminal would obey."""
    text = value if isinstance(value, str) else json.dumps(value)
    return (text if text.isprintable() else json.dumps(text))[:200]


def _changed_code(folder: RunFolder, sources: dict[str, Path]) -> Iterator[str]:
    """Name each file of the snapshot that says something else by now; what this run has not imported has no say."""
    snapshot = sorted(folder.codebase.rglob("*.py"))
    if not snapshot:
        yield f"the code that the run began with is not in {folder.codebase}"
    for path in snapshot:
        name = path.relative_to(folder.codebase).as_posix()
        if "__pycache__" in path.parts or not _has_say(name):
            continue
        source = sources.get(name)
        if source is None:
            yield f"{name}, with which the run has begun, is there no more"
            continue
        try:
            line = _first_change(read_text(path), read_text(source))
        except (OSError, ValueError) as error:
            yield f"{name} cannot be compared with what the run began with: {one_line(error)}"
        else:
            if line:
                yield f"{name} is not what it was when the run began, from line {line} on"


def _has_say(name: str) -> bool:
    """Whether a file of the snapshot is of the machinery, or a component that was imported."""
    place = Path(name.removeprefix(f"{PACKAGE.name}/"))
    is_component = len(place.parts) == 2 and place.parts[0] in KINDS
    return not is_component or f"{PACKAGE.name}.{place.parts[0]}.{place.stem}" in sys.modules


def _first_change(before: str, now: str) -> int:
    """The number of the first line that differs; 0 where nothing or only comments and layout do."""
    if before == now:
        return 0
    try:
        if ast.dump(ast.parse(before)) == ast.dump(ast.parse(now)):
            return 0
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # it is no Python, which is a change as well
    lines = itertools.zip_longest(before.splitlines(), now.splitlines())
    return next((number for number, (old, new) in enumerate(lines, start=1) if old != new), 1)


def _changed_data(before: Any, now: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each part whose fingerprint, of a json that may hold anything, is another by now."""
    for part, found in now.items():
        was = before.get(part) if isinstance(before, dict) else None
        if not isinstance(was, dict):
            yield f"it is not known what the {part} images were when the run began"
        elif was.get("images") != found["images"]:
            yield f"the run has begun with {_shown(was.get('images'))} {part} images, and there are {found['images']}"
        elif was.get("labels") != found["labels"]:
            yield f"the labels of the {part} images are not what they were when the run began"
        elif any(was[name] != found[name] for name in found.keys() & was.keys()):
            yield f"the {part} images are not what they were when the run began"
