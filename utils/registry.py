"""Finds components by name: `(kind, name) -> class`.

Names come from file names and from plugins' tables, so nothing is imported to list them, and a broken file breaks
nobody but itself. Three sources: the component folders, third-party packages (hook `components`), and the model zoos
by prefix.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pluggy

from utils.component_source import ComponentSource, Declare, NeedsImportError, module_path
from utils.errors import UserError, nearest, one_line, raised_at
from utils.hooks import plugin_components
from utils.kinds import KINDS

#: Networks of other packages, by prefix: `torchvision:resnet50` is built by `torchvision_network("resnet50", ...)`.
ZOOS = {"torchvision": "utils.model_zoos:torchvision_network", "timm": "utils.model_zoos:timm_network"}


@dataclass(frozen=True)
class Component:
    """One component: what it is called and where it stands."""

    kind: str
    name: str
    module: str
    attribute: str
    #: Where it comes from, for people: a file of this project, or a package and its version.
    origin: str
    path: Path | None

    @cached_property
    def source(self) -> ComponentSource | None:
        """Its source, readable without importing it; None for a network of a zoo."""
        return ComponentSource(self.path, self.attribute) if self.path else None

    def declarations(self) -> list[tuple[str, Declare]]:
        """What declares its options, base first: (class and file, its static method `add_arguments(parser)`)."""
        if self.source is None:
            return []
        try:
            return self.source.declarations()
        except NeedsImportError:
            owners = [owner for owner in reversed(self.load().__mro__) if "add_arguments" in vars(owner)]
            return [(f"{owner.__name__} ({owner.__module__})", owner.add_arguments) for owner in owners]

    def load(self) -> Callable[..., Any]:
        """Import the component's module and return its class (for a network of a zoo, the function that builds it)."""
        if self.path is None and ":" in self.name:
            zoo_name = self.name.partition(":")[2]
            return partial(_import(self.module, self.attribute), zoo_name)
        where = self.path or self.module
        try:
            module = importlib.import_module(self.module)
        except Exception as error:  # any error of the file's own code: name the file, not this one
            reason = f"{type(error).__name__}: {one_line(error)}" + (raised_at(error, self.path) if self.path else "")
            raise UserError(f"{where} cannot be imported: {reason}") from error
        found = getattr(module, self.attribute, None)
        word, base_place = KINDS[self.kind]
        if found is None:
            raise UserError(f"{where} holds no class {self.attribute}: the class of a component is named like its file")
        base = _import(*base_place.split(":"))
        if not (isinstance(found, type) and issubclass(found, base)):
            raise UserError(
                f"{where}: {self.attribute} is not a {word}: it must be a class derived from {base.__name__}"
            )
        return found


class Registry:
    """The components that can be named on the command line.

    Parameters: `root`, the folder that holds the component folders; `hooks`, the plugin manager.
    """

    def __init__(self, root: Path, hooks: pluggy.PluginManager) -> None:
        self.root = root
        self.hooks = hooks
        self._known: dict[str, list[Component]] = {}

    def components(self, kind: str) -> list[Component]:
        """Every component of one kind, sorted by name; a name that two sources claim stands there twice."""
        if kind not in self._known:  # looked for once, so that each file is read once, for however many runs
            found = [*self._in_folder(kind), *self._in_plugins(kind)]
            self._known[kind] = sorted(found, key=lambda component: component.name.lower())
        return self._known[kind]

    def find(self, kind: str, name: str) -> Component:
        """Return the component called `name`: exactly, else but for case, dashes and underscores, else by an alias.

        Raises `UserError` with the nearest names where there is none, and with the files where there are several.
        """
        prefix, _, zoo_name = name.partition(":")
        if zoo_name and kind == "models":
            return self._in_zoo(prefix, zoo_name)
        known = self.components(kind)
        found = (
            [component for component in known if component.name == name]
            or [component for component in known if _folded(component.name) == _folded(name)]
            or [component for component in known if component.source and name.lower() in component.source.aliases]
        )
        word = KINDS[kind][0]
        if not found:
            hint = nearest(name, [component.name for component in known])
            raise UserError(f"there is no {word} '{name}'{hint} (all: python3 main.py --list {kind})")
        if len(found) > 1:
            places = " and ".join(str(component.path or component.origin) for component in found)
            raise UserError(f"the {word} '{name}' comes from two sources: {places}; rename or remove one")
        return found[0]

    def _in_folder(self, kind: str) -> list[Component]:
        return [
            Component(kind, path.stem, f"{kind}.{path.stem}", path.stem, f"{kind}/{path.name}", path)
            for path in (self.root / kind).glob("*.py")
            if not path.name.startswith("_")
        ]

    def _in_plugins(self, kind: str) -> list[Component]:
        found = []
        for plugin, name, place in plugin_components(self.hooks, kind):
            module, _, attribute = place.partition(":")
            found.append(Component(kind, name, module, attribute, f"plugin {plugin}", module_path(module)))
        return found

    def _in_zoo(self, prefix: str, zoo_name: str) -> Component:
        if prefix not in ZOOS:
            raise UserError(f"there is no model zoo '{prefix}'{nearest(prefix, ZOOS)}")
        if importlib.util.find_spec(prefix) is None:
            raise UserError(f"--model {prefix}:{zoo_name} needs the package {prefix}: pip install {prefix}")
        module, _, attribute = ZOOS[prefix].partition(":")
        return Component("models", f"{prefix}:{zoo_name}", module, attribute, f"package {prefix}", None)


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _import(module: str, attribute: str) -> Any:
    return getattr(importlib.import_module(module), attribute)
