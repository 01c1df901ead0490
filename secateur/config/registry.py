"""Finds components by name: `(kind, name) -> class`.

Names come from file names and from plugins' tables, so nothing is imported to list them, and a broken file breaks
nobody but itself. Three sources: the component folders, third-party packages (hook `components`), and the model zoos
by prefix.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from secateur.config.kinds import KINDS
from secateur.config.option import Option, options_of
from secateur.config.places import CHECKOUT, PACKAGE, shown
from secateur.config.source import ClassSource, Declared, NeedsImportError, module_path
from secateur.hooks import plugin_components, plugin_manager
from secateur.utils.errors import UserError, nearest, one_line, raised_at

#: Networks of other packages, by prefix: `torchvision:resnet50` is built by `torchvision_network("resnet50", ...)`.
ZOOS = {"torchvision": "secateur.runs.model_zoos:torchvision_network", "timm": "secateur.runs.model_zoos:timm_network"}


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

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to the other processes of a run: each reads the source itself."""
        return {one.name: vars(self)[one.name] for one in fields(self)}

    @cached_property
    def source(self) -> ClassSource | None:
        """Its source, readable without importing it; None for a network of a zoo."""
        return ClassSource(self.path, self.attribute) if self.path else None

    @cached_property
    def implies(self) -> dict[str, str]:
        """The flags that naming it sets: the class attribute `implies`."""
        found = self.source.literal("implies") if self.source else None
        return found if isinstance(found, dict) else {}

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its other names."""
        return self.source.aliases if self.source else ()

    def declared_in_source(self) -> list[Declared]:
        """Its options, base first, as far as they can be read without importing it."""
        return [*(self._in_source or ())]

    def declared(self) -> list[Declared]:
        """Its options, base first."""
        return [*self._in_source] if self._in_source is not None else [*self._imported]

    # Read once, for however many runs a grid has.
    @cached_property
    def _in_source(self) -> list[Declared] | None:
        """Its options; None where it must be imported to know."""
        try:
            found = self.source.declared() if self.source else []
        except NeedsImportError:
            return None
        return [replace(one, kind=self.kind) for one in found]

    @cached_property
    def _imported(self) -> list[Declared]:
        return declared_by(self.load(), self.kind)

    def _module(self) -> ModuleType:
        """Import the component's module; one of a folder of the user's as if it lay in Secateur's of its kind."""
        package = importlib.import_module(self.module.rpartition(".")[0] or self.module)
        if self.path is None or not self.module.startswith("secateur.") or str(self.path.parent) in package.__path__:
            return importlib.import_module(self.module)
        loaded = sys.modules.get(self.module)
        if loaded is not None and getattr(loaded, "__file__", None) != str(self.path):
            del sys.modules[self.module]  # of another folder, in the same process
        package.__path__.append(str(self.path.parent))  # what it imports may be its neighbour
        try:
            return importlib.import_module(self.module)
        finally:
            package.__path__.remove(str(self.path.parent))

    def load(self) -> Callable[..., Any]:
        """Import the component's module and return its class (for a network of a zoo, the function that builds it)."""
        if self.path is None and ":" in self.name:
            zoo_name = self.name.partition(":")[2]
            _import(self.module, "check_name")(self.name)
            return partial(_import(self.module, self.attribute), zoo_name)
        where = self.path or self.module
        try:
            module = self._module()
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

    Parameters: `hooks`, the plugin manager; `own`, a folder of the user's whose criterions/, models/, ... are searched
    too; `root`, the one that holds Secateur's.
    """

    def __init__(self, hooks: pluggy.PluginManager, own: Path | None = None, root: Path = CHECKOUT or PACKAGE) -> None:
        self.hooks = hooks
        self.root = root
        self.search(own)

    def search(self, own: Path | None) -> None:
        """Search this folder of the user's from now on, instead of another: that of a run that goes on."""
        self.own = None if own is None or own.resolve() == self.root.resolve() else own
        self._known: dict[str, list[Component]] = {}

    def components(self, kind: str) -> list[Component]:
        """Every component of one kind, sorted by name; a name that two sources claim stands there twice."""
        if kind not in self._known:  # looked for once, so that each file is read once, for however many runs
            found = [*self._in_folder(kind), *self._in_plugins(kind)]
            self._known[kind] = sorted(found, key=lambda component: component.name.lower())
        return self._known[kind]

    def everything(self) -> list[Component]:
        """Every component, kind by kind."""
        return [component for kind in KINDS for component in self.components(kind)]

    def find(self, kind: str, name: str) -> Component:
        """Return the component called `name`: exactly, else but for case, dashes and underscores, else so by an alias.

        Raises `UserError` with the nearest names where there is none, and with the files where there are several.
        """
        prefix, _, zoo_name = name.partition(":")
        if zoo_name and kind == "models":
            return self._in_zoo(prefix, zoo_name)
        known, found = self.components(kind), self.named(kind, name)
        word = KINDS[kind][0]
        if not found:
            if self.own and (path := self.own / kind / f"{name}.py").is_file():
                base = KINDS[kind][1].partition(":")[2]
                raise UserError(f"{path} is not a {word}: it must hold a class {name} that is derived from {base}")
            hint = nearest(name, [component.name for component in known])
            raise UserError(f"there is no {word} '{name}'{hint} (all: python3 main.py --list {kind})")
        if len(found) > 1:
            places = " and ".join(str(component.path or component.origin) for component in found)
            raise UserError(f"the {word} '{name}' is defined by two sources: {places}; rename or remove one")
        return found[0]

    def named(self, kind: str, name: str) -> list[Component]:
        """Return the components of a kind that are called `name`: more than one where several sources claim it."""
        known = self.components(kind)
        return (
            [component for component in known if component.name == name]
            or [component for component in known if _folded(component.name) == _folded(name)]
            or [component for component in known if _folded(name) in map(_folded, component.aliases)]
        )

    def _in_folder(self, kind: str) -> list[Component]:
        return [
            found
            for place in (self.root, self.own)
            for path in ((place / kind).glob("*.py") if place else ())
            if not path.name.startswith("_")
            if (found := Component(kind, path.stem, f"secateur.{kind}.{path.stem}", path.stem, shown(path), path))
            if place == self.root or is_meant(found)
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


def find_class(kind: str, name: str) -> Any:
    """Return a component's class by its name: a built-in one, one of the current folder's, or of a plugin."""
    hooks, _ = plugin_manager()
    return Registry(hooks, Path.cwd()).find(kind, name).load()


def is_meant(component: Component) -> bool:
    """Whether a file of a folder of the user's is for Secateur, and not of a project that has such a folder itself.

    Its class is derived from one of Secateur's; a network takes `input_shape` and `num_classes`.
    """
    tree, node = component.source.tree, component.source.node
    if node is None:
        return False
    modules = [one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
    modules += [alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names]
    built = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    names = {argument.arg for one in built for argument in one.args.args}
    is_network = component.kind == "models" and {"input_shape", "num_classes"} <= names
    return is_network or any(module.partition(".")[0] == "secateur" for module in modules)


def declared_by(kind: type, component: str = "") -> list[Declared]:
    """Return the options of a class that was imported, with the class that each is declared in."""
    found = []
    for name, option in options_of(kind).items():
        owner = next(one for one in kind.__mro__ if isinstance(vars(one).get(name), Option))
        file = getattr(sys.modules.get(owner.__module__), "__file__", None)
        place = shown(Path(file)) if file else owner.__module__
        title = vars(owner).get("title") or f"options of {owner.__name__} ({place})"
        found.append(Declared(option, owner.__name__, title, component))
    return found


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _import(module: str, attribute: str) -> Any:
    return getattr(importlib.import_module(module), attribute)
