"""Reads what stands in a class's source as literals, without importing it.

Importing a component imports torch, which takes over a second. What `--list`, `--help` and the parsing of a command
need (the first docstring line, the aliases, the options) is read from the syntax tree instead.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from secateur.config.option import FREE_TEXT, KEEP, Option, is_default
from secateur.config.places import shown

#: Names that stand for literals in the arguments of `option`.
CONSTANTS = {"FREE_TEXT": FREE_TEXT, "KEEP": KEEP}


class NeedsImportError(Exception):
    """The source alone does not tell: the file must be imported."""


@dataclass(frozen=True)
class Declared:
    """An option and where it is declared."""

    option: Option
    #: The class, and the heading of its options in `--help`.
    owner: str
    title: str
    #: The kind of component that the class is; "" for none.
    kind: str = ""
    #: The plugin that brings it, by a section of options of its own; "" for none.
    plugin: str = ""


class ClassSource:
    """The source of one class: its file and its name."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    @cached_property
    def tree(self) -> ast.Module | None:
        """The file's syntax tree; None where the file cannot be read or parsed (importing it then says why)."""
        try:
            facts = self.path.stat()
            return _parsed(self.path, facts.st_mtime_ns, facts.st_size)
        except (OSError, SyntaxError, ValueError):
            return None

    @cached_property
    def node(self) -> ast.ClassDef | None:
        """The definition of the class; None where the file has none of that name."""
        body = self.tree.body if self.tree else []
        return next((node for node in body if isinstance(node, ast.ClassDef) and node.name == self.name), None)

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        if self.tree is None:
            return "(cannot be read: ask for it by name to see why)"
        if self.node is None:
            return f"(the file holds no class {self.name})"
        return (ast.get_docstring(self.node) or "").partition("\n")[0]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other names the class goes by: its attribute `aliases`, a tuple of strings."""
        named = self._own("aliases")
        names = [named] if isinstance(named, str) else named if isinstance(named, list | tuple | set) else []
        return tuple(name for name in names if isinstance(name, str))

    @cached_property
    def attributes(self) -> dict[str, tuple[str, ast.expr]]:
        """What the class's body assigns: name -> (annotation, value)."""
        found = {}
        for node in self.node.body if self.node else []:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                quoted = isinstance(node.annotation, ast.Constant) and isinstance(node.annotation.value, str)
                annotation = node.annotation.value if quoted else ast.unparse(node.annotation)
                found[node.target.id] = annotation, node.value
            elif isinstance(node, ast.Assign):
                found |= {target.id: ("", node.value) for target in node.targets if isinstance(target, ast.Name)}
        return found

    def _own(self, name: str) -> Any:
        """A class attribute that stands in the class itself as a literal; else None."""
        try:
            return ast.literal_eval(self.attributes[name][1]) if name in self.attributes else None
        except (ValueError, TypeError):  # not a literal, or one that cannot be
            return None

    def literal(self, name: str) -> Any:
        """A class attribute that is a literal, of the class or of the first base that has it; else None."""
        try:
            return next((value for one in reversed(self.lineage()) if (value := one._own(name)) is not None), None)
        except NeedsImportError:
            return self._own(name)

    def declared(self) -> list[Declared]:
        """Return the options of the class and of its bases, base first, with the defaults that the class gives them.

        Raises `NeedsImportError` where that takes an import to know.
        """
        found: dict[str, Declared] = {}
        for one in self.lineage():
            for name, (annotation, value) in one.attributes.items():
                if _is_option(value):
                    found[name] = Declared(_option(name, annotation, value), one.name, one.title)
                elif name in found:
                    try:
                        default = ast.literal_eval(value)
                    except (ValueError, TypeError) as error:  # no literal, as 8 / 255 or a name: importing says which
                        raise NeedsImportError from error
                    if is_default(default):
                        changed = replace(found[name].option, default=default)
                        found[name] = replace(found[name], option=changed)
        return list(found.values())

    @property
    def title(self) -> str:
        """The heading of its own options: its attribute `title`, or its name and file."""
        own = self._own("title")
        return own if isinstance(own, str) and own else f"options of {self.name} ({shown(self.path)})"

    def lineage(self) -> list[ClassSource]:
        """The sources of the classes that this one is derived from, base first, and of itself.

        Raises `NeedsImportError` where that takes an import to know.
        """
        if self.node is None:
            raise NeedsImportError
        found: list[ClassSource] = []
        for base in reversed(self.node.bases):  # the first base comes before the others: it is nearer
            source = self._base(base)
            for one in source.lineage() if source else []:
                if all((one.path, one.name) != (other.path, other.name) for other in found):
                    found.append(one)
        return [*found, self]

    def _base(self, node: ast.expr) -> ClassSource | None:
        """Follow a base to its file: of this one, or of an import of a module or a name; None for one of torch's."""
        import secateur

        name, _, attribute = ast.unparse(node).partition(".")
        for statement in self.tree.body:
            if isinstance(statement, ast.ClassDef) and statement.name == name and not attribute:
                return ClassSource(self.path, name)
            for imported in statement.names if isinstance(statement, ast.ImportFrom | ast.Import) else []:
                if (imported.asname or imported.name.partition(".")[0]) != name:
                    continue
                module = statement.module if isinstance(statement, ast.ImportFrom) else imported.name
                if module and module.partition(".")[0] == "torch":
                    return None  # nn.Module and its like declare nothing, and are slow to import
                plain = isinstance(statement, ast.ImportFrom) and not statement.level and not attribute
                if plain:
                    wanted = imported.name
                elif module == "secateur" and "." not in attribute:
                    wanted = attribute
                else:
                    raise NeedsImportError
                return self._in_module(secateur.HOMES.get(wanted, module) if module == "secateur" else module, wanted)
        raise NeedsImportError

    def _in_module(self, module: str, name: str) -> ClassSource:
        path = module_path(module)
        if path is None:  # a neighbour in a folder of the user's own
            path = self.path.parent / f"{module.rpartition('.')[2]}.py"
            if not (module.startswith("secateur.") and path.is_file()):
                raise NeedsImportError
        return ClassSource(path, name)


@lru_cache(maxsize=500)
def _parsed(path: Path, _changed: int, _size: int) -> ast.Module:
    """The syntax tree of a file as it is; many command lines of a grid read the same ones."""
    return ast.parse(path.read_bytes())


def _is_option(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "option"


def _option(name: str, annotation: str, call: ast.Call) -> Option:
    """Build the record that a call of `option` with literal arguments makes."""
    try:
        positional = [_value(argument) for argument in call.args]
        fields = {keyword.arg or "": _value(keyword.value) for keyword in call.keywords}
        record = Option(*positional, **fields)
        record._named(name, annotation)
    except (ValueError, TypeError) as error:  # no literals, or not the arguments of an option: importing says which
        raise NeedsImportError from error
    return record


def _value(node: ast.expr) -> Any:
    return CONSTANTS[node.id] if isinstance(node, ast.Name) and node.id in CONSTANTS else ast.literal_eval(node)


def module_path(module: str) -> Path | None:
    """Return the file of a module without importing it (its parent packages are imported)."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # of a parent package's own code: importing the component says what it is
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
