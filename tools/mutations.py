"""Which small bugs a Python source can be given: each is one change of one expression or statement."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
#: Functions and methods that are called in another's place.
EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "argmax": "argmin"}
#: Methods that are left out.
DROPPED = {"abs", "clone", "square", "sqrt", "exp", "log", "copy", "deepcopy"}
#: Keywords without which no number changes: what they guard against cannot be brought about on a CPU, or they are a
#: matter of looks.
UNSEEN = {None, "strict", "device", "encoding", "metavar", "non_blocking"}
UNSEEN |= {"fontsize", "labelsize", "linewidth", "labelpad", "capsize", "rotation", "ha", "va", "zorder", "cmap", "dpi"}
UNSEEN |= {
    "loc",
    "xytext",
    "textcoords",
    "alpha",
    "figsize",
    "color",
    "linestyle",
    "marker",
    "aspect",
    "box",
    "padding",
}
UNSEEN |= {"subs", "style", "highlight", "interpolation", "bar_width"}
#: Calls that are a matter of looks.
LOOKS = {"set_xticks", "set_yticks", "tick_params", "grid", "axis", "margins", "subplots_adjust", "set_facecolor"}
LOOKS |= {"set_layout_engine", "set_linewidth", "new_figure"}
#: Times that are never equal: `<` of them is `<=`.
CLOCKS = ("perf_counter()", "monotonic()", "time.time()", "process_time()")
#: A number that is a whole one more is another number: of 0.5 it makes 1.5. A large one, as a limit is, is doubled.
STEP, LARGE = 1, 100


@dataclass(frozen=True)
class Mutation:
    """One change of a source."""

    line: int
    #: The first line of the innermost function, decorators included, that runs what is changed; None: none does.
    function: int | None
    #: Those of the statement that holds it, of a compound statement those of its head.
    lines: range
    before: str
    after: str
    #: The bytes that are replaced.
    start: int
    end: int

    def applied(self, source: str) -> str:
        """Return the source with this change."""
        content = source.encode()
        return (content[: self.start] + self.after.encode() + content[self.end :]).decode()


def mutations(source: str) -> list[Mutation]:
    """Return all changes of a source, in its order.

    Left alone are annotations, docstrings and other strings, what is for GPUs alone, and what is raised: its messages
    say nothing that a program reads.
    """
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node, function, statement, others in _candidates(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        before = source.encode()[start:end].decode()
        for other in others:
            text = ast.unparse(other)
            # In a line of its own an expression needs none, but everywhere else its operators bind as they like.
            after = text if isinstance(other, ast.stmt | ast.Constant | ast.Name) else f"({text})"
            # As many lines as before, so that all others stay where they are.
            padding = "\n" * (before.count("\n") - after.count("\n"))
            after = f"{after[:-1]}{padding})" if after.endswith(")") else after + padding
            found.append(Mutation(node.lineno, function, _lines(statement), before, after, start, end))
    return found


def _candidates(tree: ast.AST) -> Iterator[tuple[ast.AST, int | None, ast.AST, Iterator[ast.AST]]]:
    """What may be changed, the function that runs it, its statement, and what may stand in its place."""
    for node, function, statement in _nodes(tree, None, tree):
        yield node, function, statement, _others(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
            yield node.test, function, statement, iter([ast.UnaryOp(ast.Not(), node.test)])


def _nodes(node: ast.AST, function: int | None, statement: ast.AST) -> Iterator[tuple[ast.AST, int | None, ast.AST]]:
    """Walk what may be changed, with the function that runs it and its statement."""
    for name, value in ast.iter_fields(node):
        own = function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name == "body":
            own = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        if isinstance(node, ast.FunctionDef) and name == "args":
            value = ast.arguments(**vars(value) | _defaults(node))
        if name in ("annotation", "returns", "decorator_list") or (
            isinstance(node, ast.keyword) and node.arg in UNSEEN
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr) or _is_elsewhere(child):
                continue
            of = child if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case) else statement
            if hasattr(child, "lineno"):
                yield child, own, of
            yield from _nodes(child, own, of)


def _lines(statement: ast.AST) -> range:
    """Return the lines of a statement, of a compound one those of its head."""
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if not body:
        return range(statement.lineno, statement.end_lineno + 1)
    start = getattr(statement, "lineno", None) or statement.pattern.lineno
    first = body[0].pattern.lineno if isinstance(body[0], ast.match_case) else body[0].lineno
    return range(start, max(start + 1, first))


def _defaults(function: ast.FunctionDef) -> dict[str, list[ast.expr | None]]:
    """Return the defaults of the parameters that a function reads."""
    read = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    optional = positional[len(positional) - len(given.defaults) :]
    return {
        "defaults": [one for name, one in zip(optional, given.defaults, strict=True) if name.arg in read],
        "kw_defaults": [one for name, one in zip(given.kwonlyargs, given.kw_defaults, strict=True) if name.arg in read],
    }


def _is_elsewhere(node: ast.AST) -> bool:
    """Whether a statement is for type checkers, for GPUs, or for looks alone."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.Expr | ast.Assign) and isinstance(call := node.value, ast.Call):
        name = getattr(call.func, "attr", getattr(call.func, "id", None))
        return name in LOOKS or "torch.cuda" in ast.unparse(node)
    return isinstance(node, ast.stmt) and not hasattr(node, "body") and "torch.cuda" in ast.unparse(node)


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare():
            clock = any(word in ast.unparse(node) for word in CLOCKS)
            for number, operator in enumerate(node.ops):
                if clock and isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                    continue
                other = copy.deepcopy(node)
                other.ops[number] = COMPARISONS[type(operator)]()
                yield other
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.BinOp() if type(node.op) in OPERATORS and not (_is_text(node.left) or _is_text(node.right)):
            yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + STEP if abs(node.value) < LARGE else 2 * node.value)
        case ast.Call():
            yield from _other_calls(node)
        case ast.Expr(value=ast.Call()) | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield ast.Pass()
        case ast.AugAssign() if type(node.op) in OPERATORS and not _is_text(node.value):
            yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    if name in EXCHANGED:
        other = copy.deepcopy(node)
        setattr(other.func, "attr" if isinstance(function, ast.Attribute) else "id", EXCHANGED[name])
        if name == "sorted":
            other.keywords = []
        yield other
    if name in DROPPED and isinstance(function, ast.Attribute) and not node.args:
        yield function.value
    if name in DROPPED | {"reversed"} and len(node.args) == 1:
        yield node.args[0]
    for number, keyword in enumerate(node.keywords):
        if keyword.arg not in UNSEEN:
            other = copy.deepcopy(node)
            del other.keywords[number]
            yield other


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
