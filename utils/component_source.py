"""Reads a component's file without importing it.

Importing a component imports torch, which takes over a second. What `--list`, `--help` and the parsing of arguments
need (the first docstring line, the aliases, the options) stands in the source, so it is read from there.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import secateur
from utils.errors import UserError

Declare = Callable[[argparse.ArgumentParser], None]


class ComponentSource:
    """The source of one class: file, syntax tree, and the bases that stand in readable files themselves."""

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
        for node in self.class_node.body if self.class_node else []:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == "aliases" for target in targets) and node.value:
                    try:
                        return tuple(ast.literal_eval(node.value))
                    except ValueError:
                        return ()
        return ()

    def lineage(self) -> list[ComponentSource]:
        """This class and those bases whose source can be read, base first."""
        bases = [base for node in (self.class_node.bases if self.class_node else []) if (base := self._base(node))]
        return [source for base in bases for source in base.lineage()] + [self]

    def _base(self, node: ast.expr) -> ComponentSource | None:
        """Follow `from module import Base`, or a Base of the same file."""
        if not isinstance(node, ast.Name) or self.tree is None:
            return None
        for statement in self.tree.body:
            if isinstance(statement, ast.ClassDef) and statement.name == node.id:
                return ComponentSource(self.path, node.id)
            if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                for name in statement.names:
                    if (name.asname or name.name) == node.id:
                        return _of_import(statement.module, name.name)
        return None

    def declaration(self) -> Declare | None:
        """The class's own static method `add_arguments(parser)`, compiled with just the top-level names it uses.

        None where the class declares no options.
        """
        body = self.class_node.body if self.class_node else []
        found = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "add_arguments"]
        if not found:
            return None
        if [ast.unparse(decorator) for decorator in found[0].decorator_list] != ["staticmethod"]:
            raise UserError(f"{self.path}: {self.class_name}.add_arguments(parser) must be a @staticmethod")
        # Annotations are evaluated on definition and may name torch; nothing reads them here.
        function = ast.FunctionDef(
            name="add_arguments",
            args=ast.arguments([], [ast.arg(argument.arg) for argument in found[0].args.args], None, [], [], None, []),
            body=found[0].body,
            decorator_list=[],
        )
        module = ast.Module(body=[*self._definitions_used_by(function), function], type_ignores=[])
        namespace: dict[str, object] = {"__name__": self.path.stem}
        exec(compile(ast.fix_missing_locations(module), str(self.path), "exec"), namespace)
        return namespace["add_arguments"]

    def _definitions_used_by(self, function: ast.FunctionDef) -> list[ast.stmt]:
        """The file's top-level imports, assignments and functions that `function` needs, in the file's order."""
        wanted, known = _names_read(function), set()
        needed: dict[int, ast.stmt] = {}
        while new := wanted - known:
            known |= new
            for position, statement in enumerate(self.tree.body):
                if part := _part_that_binds(statement, known):
                    needed[position] = part
                    wanted |= _names_read(part)
        return [needed[position] for position in sorted(needed)]


def _names_read(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _part_that_binds(statement: ast.stmt, names: set[str]) -> ast.stmt | None:
    """The part of a top-level statement that binds one of `names`: of an import only the names wanted."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        chosen = [name for name in statement.names if (name.asname or name.name.partition(".")[0]) in names]
        if not chosen:
            return None
        if isinstance(statement, ast.Import):
            return ast.Import(names=chosen)
        return ast.ImportFrom(module=statement.module, names=chosen, level=statement.level)
    if isinstance(statement, ast.Assign):
        bound = {target.id for target in statement.targets if isinstance(target, ast.Name)}
        return statement if bound & names else None
    return statement if isinstance(statement, ast.FunctionDef) and statement.name in names else None


def _of_import(module: str, name: str) -> ComponentSource | None:
    """Find the file behind `from module import name`, unless it belongs to a package that is slow to import."""
    if module == "secateur":
        module = secateur.HOMES.get(name, module)
    if module.partition(".")[0] in {"torch", "torchvision", "timm"}:
        return None
    path = module_path(module)
    return ComponentSource(path, name) if path else None


def module_path(module: str) -> Path | None:
    """Return the file of a module without importing it (its parent packages are imported)."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
