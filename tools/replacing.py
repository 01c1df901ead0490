"""A changed source in the place of one that has been imported."""

from __future__ import annotations

import functools
import gc
import types
from collections import defaultdict
from pathlib import Path

from mutations import Mutation


def needs_import(source: str, mutation: Mutation) -> bool:
    """Whether a change shows only where the module is imported anew: where that runs it, or compiles it by numba."""
    if mutation.function is None or "numba" in source:
        return True
    before, after = (_functions(compile(text, "", "exec")) for text in (source, mutation.applied(source)))
    return any(name not in after or after[name].co_freevars != code.co_freevars for name, code in before.items())


class Imported:
    """The functions below a folder that have been imported."""

    def __init__(self, folder: Path) -> None:
        self.functions: dict[str, list[types.FunctionType]] = defaultdict(list)
        self.keeping = []
        for one in gc.get_objects():  # of some `isinstance` would run code
            if type(one) is types.FunctionType and one.__code__.co_filename.startswith(f"{folder}/"):
                self.functions[one.__code__.co_filename].append(one)
            elif type(one) is functools._lru_cache_wrapper:
                code = getattr(one.__wrapped__, "__code__", None)
                if code is not None and code.co_filename.startswith(f"{folder}/"):
                    self.keeping.append(one)

    def replace(self, path: Path, source: str) -> None:
        """Let the functions of a file run another source, with the same lines; what they have kept is cleared."""
        changed = _functions(compile(source, str(path), "exec", dont_inherit=True))
        for function in self.functions[str(path)]:
            function.__code__ = changed[function.__code__.co_qualname, function.__code__.co_firstlineno]
        for one in self.keeping:
            one.cache_clear()


def _functions(code: types.CodeType) -> dict[tuple[str, int], types.CodeType]:
    found = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found[constant.co_qualname, constant.co_firstlineno] = constant
            found |= _functions(constant)
    return found
