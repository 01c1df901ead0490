"""The components, as Markdown: a list of all, and an entry for each criterion, from their classes."""

import inspect
import re
from pathlib import Path

from docstrings import docstring, escaped

from secateur.config.kinds import KINDS
from secateur.config.option import Option, options_of
from secateur.config.registry import ZOOS, Component, Registry
from secateur.hooks import empty_manager
from secateur.pruning.criterion import Criterion
from secateur.pruning.dynamic_sparse import DynamicSparse
from secateur.pruning.layerwise import LayerwiseCriterion
from secateur.pruning.options import CriterionOptions
from secateur.pruning.saliency import ScoreMode
from secateur.pruning.structured import StructuredCriterion

SIDE_BY_SIDE = Path(__file__).resolve().parents[1] / "side_by_side.md"
#: The headings of the methods, each with the question that a class is asked; the first that holds counts.
GROUPS = {
    "Weights and channels together": lambda kind: hasattr(kind, "fractions"),
    "Channels": lambda kind: issubclass(kind, StructuredCriterion),
    "Weights of a trained network, layer by layer": lambda kind: issubclass(kind, LayerwiseCriterion),
    "Weights, sparse all the time": lambda kind: issubclass(kind, DynamicSparse),
    "Weights, during training": lambda kind: options_of(kind)["timing"].default != "before",
    "Weights, before training or of a trained network": lambda kind: True,
}
#: The axes of pruning that every entry tells.
AXES = ("schedule", "timing", "distribution")
#: Options that many criteria share, told where a criterion has another default.
SHARED = {**options_of(StructuredCriterion), **options_of(DynamicSparse), **options_of(ScoreMode)}
FORMULA = re.compile(r"score\(\w+\) = .+?(?=[,.;:](?:\s|$)|\s(?:with|where|for)\s)", re.DOTALL)


def criteria() -> str:
    """An entry for each criterion, in groups."""
    members: dict[str, list[str]] = {title: [] for title in reversed(GROUPS)}
    for component in registry().components("criterions"):
        kind = component.load()
        members[next(title for title, holds in GROUPS.items() if holds(kind))].append(entry(component, kind))
    return "\n\n".join(f"## {title}\n\n" + "\n\n".join(entries) for title, entries in members.items())


def registry() -> Registry:
    """The components of this repository alone."""
    return Registry(empty_manager())


def entry(component: Component, kind: type[Criterion]) -> str:
    """What one criterion is: its docstring, its axes, its options, and what it was compared with."""
    options = options_of(kind)
    base = next(one.__name__ for one in kind.__mro__[1:] if issubclass(one, Criterion))
    axes, own = split(options, kind)
    lines = ["- **Defaults**: " + ", ".join(f"`--{one.flag} {one.default}`" for one in axes)]
    lines += [f"- `--{one.flag}` (default {shown(one.default)}): {escaped(one.help)}" for one in own]
    if kind.implies:
        lines.append("- **Sets**, where not given: " + ", ".join(f"`--{k} {v}`" for k, v in kind.implies.items()))
    if component.aliases:
        lines.append("- **Also called**: " + ", ".join(f"`{alias}`" for alias in component.aliases))
    if programs := compared_with(component.name):
        lines.append(f"- **Compared** with {', '.join(programs)}: [side by side](side_by_side.md)")
    lines.append(f"- **Source**: `criterions/{component.name}.py`, derived from `{base}`")
    return f"### {component.name}\n\n{docstring(formula_as_code(inspect.cleandoc(kind.__doc__)))}\n\n" + "\n".join(
        lines
    )


def split(options: dict[str, Option], kind: type) -> tuple[list[Option], list[Option]]:
    """Return the options whose defaults tell one criterion from another, and those of criteria alone."""
    every = options_of(CriterionOptions)
    told, own = [options[name] for name in AXES], []
    for name, one in options.items():
        if is_own(kind, name):
            own.append(one)
        elif (
            name not in AXES
            and one.default is not None
            and one.default != every.get(name, SHARED.get(name, one)).default
        ):
            told.append(one)
    return told, own


def is_own(kind: type, name: str) -> bool:
    """Whether the option is declared by a criterion, and not by what criteria share."""
    owner = next(one for one in kind.__mro__ if isinstance(vars(one).get(name), Option))
    return owner.__module__.startswith("secateur.criterions.")


def shown(default: object) -> str:
    """A default as it is typed."""
    return "none" if default is None else "off" if default is False else f"`{default}`"


def formula_as_code(text: str) -> str:
    """Set the formulas of scores in the type of code."""
    return FORMULA.sub(lambda found: f"`{' '.join(found[0].split())}`", text)


def compared_with(name: str) -> list[str]:
    """The programs beside which the table of side_by_side.md has this criterion."""
    text = SIDE_BY_SIDE.read_text(encoding="utf-8").partition("\n## Not run\n")[0]
    rows = re.findall(rf"^\| {name}(?:[ ,][^|]*)? \| ([^|]+) \|", text, re.MULTILINE)
    return list(dict.fromkeys(rows))


def components() -> str:
    """A table for each kind: name, what it is, other names."""
    found = registry()
    return "\n\n".join(f"## {kind}\n\n{table(found.components(kind), kind)}" for kind in KINDS)


def table(members: list[Component], kind: str) -> str:
    """The components of one kind."""
    rows = [
        (one.name, one.source.summary if one.source else "", ", ".join(f"`{alias}`" for alias in one.aliases))
        for one in members
    ]
    if kind == "models":
        rows += [(f"{zoo}:NAME", f"any classification network of {zoo}", "") for zoo in ZOOS]
    lines = [
        f"| `{name}` | {escaped(summary).replace('|', chr(92) + '|')} | {aliases} |" for name, summary, aliases in rows
    ]
    return "\n".join(["| name | what it is | also called |", "|---|---|---|", *lines])
