"""Reads a component's file without importing it.

Importing a component imports torch, which takes over a second. What `--list`, `--help` and the parsing of arguments
need (the first docstring line, the aliases, the options) stands in the source, so it is read from there.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import importlib.util
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import secateur

Declare = Callable[[argparse.ArgumentParser], None]


class NeedsImportError(Exception):
    """The source alone does not tell: the file must be imported."""


class ComponentSource:
    """The source of one class: its file and its syntax tree."""

    def __init__(self, path: Path, class_name: str) -> None:
        self.path = path
        self.class_name = class_name

    @cached_property
    def tree(self) -> ast.Module | None:
        """The file's syntax tree; None where the file cannot be read or parsed (importing it then says why)."""
        try:
            return ast.parse(self.path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return None

    @cached_property
    def class_node(self) -> ast.ClassDef | None:
        """The definition of the class; None where the file has none of that name."""
        body = self.tree.body if self.tree else []
        return next((node for node in body if isinstance(node, ast.ClassDef) and node.name == self.class_name), None)

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        if self.tree is None:
            return "(cannot be read: ask for it by name to see why)"
        if self.class_node is None:
            return f"(the file holds no class {self.class_name})"
        return (ast.get_docstring(self.class_node) or "").partition("\n")[0]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other names the class goes by: its attribute `aliases`, a tuple of strings."""
        named = self._attribute("aliases")
        names = [named] if isinstance(named, str) else named if isinstance(named, list | tuple | set) else []
        return tuple(name for name in names if isinstance(name, str))

    def _attribute(self, name: str) -> Any:
        """A class attribute that stands in the class itself as a literal; else None."""
        for node in self.class_node.body if self.class_node else []:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets) and node.value:
                    try:
                        return ast.literal_eval(node.value)
                    except (ValueError, TypeError):  # not a literal, or one that cannot be
                        return None
        return None

    def declarations(self) -> list[tuple[str, Declare]]:
        """What declares options, base first: (class and file, its static method `add_arguments(parser)`).

        Raises `NeedsImportError` where that takes an import to know.
        """
        if self.class_node is None:
            raise NeedsImportError
        found = [declared for base in self.bases() for declared in base.declarations()]
        own = [
            node for node in self.class_node.body if isinstance(node, ast.FunctionDef) and node.name == "add_arguments"
        ]
        return [*found, (f"{self.class_name} ({shown(self.path)})", self._compiled(own[0]))] if own else found

    @property
    def implies(self) -> dict[str, str]:
        """The flags that naming this class sets: its attribute `implies`, or that of the first base that has one."""
        found = self._inherited("implies")
        return found if isinstance(found, dict) else {}

    @property
    def trains(self) -> bool:
        """Whether a tester trains its network itself where none is named: its attribute `trains`, or that of a base."""
        return self._inherited("trains") is True

    def _inherited(self, name: str) -> Any:
        """A class attribute as `_attribute` reads it, or that of the first base that has it."""
        found = self._attribute(name)
        if found is not None or self.class_node is None:
            return found
        try:
            return next((value for base in self.bases() if (value := base._inherited(name)) is not None), None)
        except NeedsImportError:
            return None

    def bases(self) -> list[ComponentSource]:
        """The sources of the classes that this one is derived from.

        Raises `NeedsImportError` where that takes an import to know.
        """
        return [source for node in self.class_node.bases if (source := self._base(node)) is not None]

    def _base(self, node: ast.expr) -> ComponentSource | None:
        """Follow a base to its file: one of this file, or `from module import Base`; None for one of torch's."""
        root = ast.unparse(node).partition(".")[0]
        for statement in self.tree.body:
            if isinstance(statement, ast.ClassDef) and statement.name == root:
                return ComponentSource(self.path, root)
            for name in statement.names if isinstance(statement, ast.ImportFrom | ast.Import) else []:
                if (name.asname or name.name.partition(".")[0]) != root:
                    continue
                module = statement.module if isinstance(statement, ast.ImportFrom) else name.name
                if module and module.partition(".")[0] == "torch":
                    return None  # nn.Module and its like declare nothing, and are slow to import
                if isinstance(statement, ast.Import) or statement.level or not isinstance(node, ast.Name):
                    raise NeedsImportError
                path = module_path(secateur.HOMES.get(name.name, module) if module == "secateur" else module)
                if path is None:
                    raise NeedsImportError
                return ComponentSource(path, name.name)
        raise NeedsImportError

    def _compiled(self, function: ast.FunctionDef) -> Declare:
        """Compile `add_arguments` with just the top-level names of the file that it uses."""
        # Annotations are evaluated on definition and may name torch; nothing reads them here.
        bare = ast.FunctionDef(
            name="add_arguments",
            args=ast.arguments([], [ast.arg(argument.arg) for argument in function.args.args], None, [], [], None, []),
            body=function.body,
            decorator_list=[],
        )
        module = ast.Module(body=[*self._definitions_used_by(bare), bare], type_ignores=[])
        namespace: dict[str, object] = {"__name__": self.path.stem}
        try:
            exec(compile(ast.fix_missing_locations(module), str(self.path), "exec"), namespace)
        except Exception as error:  # as of a relative import; a real import will do, or say better what is wrong
            raise NeedsImportError from error
        return namespace["add_arguments"]

    def _definitions_used_by(self, function: ast.FunctionDef) -> list[ast.stmt]:
        """The file's top-level imports, assignments and functions that `function` needs, in the file's order.

        Raises `NeedsImportError` where it uses a name that none of them binds.
        """
        wanted, known = _names_read(function), set(dir(builtins))
        needed: dict[int, ast.stmt] = {}
        while new := wanted - known:
            known |= new
            for position, statement in enumerate(self.tree.body):
                if part := _part_that_binds(statement, known):
                    needed[position] = part
                    wanted |= _names_read(part)
        if wanted - set(dir(builtins)).union(*map(_bound_in, [function, *needed.values()])):
            raise NeedsImportError
        return [needed[position] for position in sorted(needed)]


def _names_read(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _bound_in(node: ast.AST) -> set[str]:
    """Every name that is bound anywhere within `node`."""
    bound: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            bound.add(part.id)
        elif isinstance(part, ast.alias):
            bound.add(part.asname or part.name.partition(".")[0])
        elif isinstance(part, ast.FunctionDef):
            bound.add(part.name)
        elif isinstance(part, ast.arg):
            bound.add(part.arg)
    return bound


def _part_that_binds(statement: ast.stmt, names: set[str]) -> ast.stmt | None:
    """The part of a top-level statement that binds one of `names`: of an import only the names wanted."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        chosen = [name for name in statement.names if (name.asname or name.name.partition(".")[0]) in names]
        if not chosen:
            return None
        if isinstance(statement, ast.Import):
            return ast.Import(names=chosen)
        return ast.ImportFrom(module=statement.module, names=chosen, level=statement.level)
    if isinstance(statement, ast.FunctionDef):
        return statement if statement.name in names else None
    return statement if isinstance(statement, ast.Assign | ast.AnnAssign) and _bound_in(statement) & names else None


def shown(path: Path) -> str:
    """A path as people know it: below the project where it is there."""
    root = Path(__file__).parent.parent
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def module_path(module: str) -> Path | None:
    """Return the file of a module without importing it (its parent packages are imported)."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # of a parent package's own code: importing the component says what it is
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
