"""Writes what benchmarks/zoo.py has measured as a page."""

from importlib import metadata
from pathlib import Path

#: An error above this is wrong: a difference of outputs, relative to the largest, in float64.
WRONG = 1e-5
#: Which programs made it.
PACKAGES = ("torch", "torchvision", "timm", "torch-pruning")

#: What is tried of a network once half of its channels are gone.
CHECKS = ("step", "loaded", "exported")

PAGE = """# Networks of others

Secateur prunes channels of networks that it has never seen: it follows the channels through every operation, and
removes those that can go. This page says how far that works on the classifiers of torchvision, and on one network each
of {families} families of timm.

{summary}

## What was done

Each network has 10 classes, random weights, and random scales, shifts and statistics of its norms, as neutral ones
would hide mistakes. A group is what can only go together, as the channels that a residual addition couples.

1. A quarter, half, or nine tenths of each group, drawn at random, are set to zero in one copy and removed from another.
   Both get the same two images, in float64. **Error** is the largest difference of their outputs, relative to the
   largest output, of the three fractions. Where a LayerNorm takes its statistics over channels, it takes them over
   those that are left in both.
2. The half is removed from the network itself. A **block** is the innermost module that holds two layers or more, as a
   residual block, an attention or a perceptron; without the layer that gives the classes.
3. That network is trained for a step of SGD, saved, loaded into a fresh network, and exported by torch.export, whose
   program has to compute the same. In the table stands what of it failed.

Networks of more than 150 million parameters are shortened: two blocks of each shape are left of each stage.

The columns of the tables:

- **side**: the images are so many pixels high and wide.
- **blocks**: how many of the blocks have lost channels, of all.
- **channels**: of the outputs of all layers but the last, those that can go. In brackets those of layers that became
  narrower with Torch-Pruning {pruning}, which removed half by L1 norms of groups; "fails" where it raised an error or
  took too long, or the network did not run afterwards.
- **seconds**: to trace the channels and to remove half of them; in brackets Torch-Pruning's whole step. CPU time of one
  thread, both programs warm.
- **checks**: seconds that the trials take, which Torch-Pruning does not make: a few units of each group are removed
  from a copy once, and all that is to go before it goes.
- **error**: see above. Where it is above 1e-11 there stands in brackets by how much the outputs of the network with
  zeros change when its images change in their last digit: an error of that size is rounding.

Made on {date} on {machine}, one thread, with {versions}, by

    python3 -m pip install --no-deps timm torch-pruning    # and what an import of them misses
    python3 benchmarks/zoo.py --results zoo.jsonl
    python3 benchmarks/zoo.py --results zoo.jsonl --page docs/networks.md
"""
HEAD = """
| network | side | blocks | channels | seconds | checks | error | failed afterwards |
|---|---|---|---|---|---|---|---|"""


def page(rows: dict[str, dict], names: list[str]) -> str:
    """The page of what was measured of networks of these names."""
    measured = {name: rows[name] for name in names if "failed" not in rows.get(name, {"failed": ""})}
    versions = {package: version(package) for package in PACKAGES}
    text = PAGE.format(
        families=sum(name.startswith("timm:") for name in names),
        summary="\n".join(summary(zoo, rows, names) for zoo in ("torchvision", "timm")),
        pruning=versions["torch-pruning"],
        date=max((row["date"] for row in measured.values()), default="-"),
        machine=machine(),
        versions=", ".join(f"{package} {number}" for package, number in versions.items() if number),
    )
    parts = [text]
    for zoo in ("torchvision", "timm"):
        parts += [f"## {zoo}", HEAD, *(cells(name, row) for name, row in measured.items() if name.startswith(zoo)), ""]
    lossless = [
        f"- {short(name)}, {block or 'the network itself'}: {why}"
        for name, row in measured.items()
        for block, why in row["lossless"].items()
    ]
    parts += ["## Blocks that lose nothing", "", *(lossless or ["There is none."])]
    refused = [
        f"- {short(name)}, {root}: {why}" for name, row in measured.items() for root, why in row["broken"].items()
    ]
    if refused:
        parts += ["", "## Removals that were refused", "", "They would have changed more than zeros do.", "", *refused]
    parts += ["", "## Layers that stay, whole or in part", "", "Of each network the first two.", ""]
    for name, row in measured.items():
        parts += [f"- {short(name)}, {layer}: {why}" for layer, why in list(row["fixed"].items())[:2]]
    later = [short(name) for name in names if name not in rows]
    parts += ["", "## Not measured", ""]
    parts += [f"- {short(name)}: {rows[name]['failed']}" for name in names if name in rows and name not in measured]
    parts += [f"- Not tried yet: {', '.join(later)}."] if later else []
    return "\n".join(parts).rstrip() + "\n"


def summary(zoo: str, rows: dict[str, dict], names: list[str]) -> str:
    """What can be said of all networks of a zoo."""
    own = [name for name in names if name.startswith(zoo)]
    measured = [rows[name] for name in own if name in rows and "failed" not in rows[name]]
    if not measured:
        return f"- **{zoo}**: none was measured."
    every = sum(not row["lossless"] for row in measured)
    wrong = sum(max(row["errors"]) > WRONG for row in measured)
    refused = sum(bool(row["broken"]) for row in measured)
    timed = [row for row in measured if "their_seconds" in row]
    as_fast = sum(row["traced"] + row["removed"] <= 1.5 * row["their_seconds"] for row in timed)
    failed = sum(any(row[check] != "yes" for check in CHECKS) for row in measured)
    lines = [
        f"- **{zoo}**: {len(measured)} of {len(own)} networks were measured.",
        f"  - {every} of these lose channels in every block; {len(measured) - every} have a block that loses none.",
        f"  - {wrong} compute something wrong without the channels; the largest error is "
        f"{max(max(row['errors']) for row in measured):.0e}. In {refused} a removal was refused.",
        f"  - {len(measured) - failed} can be trained, saved, loaded and exported afterwards.",
    ]
    if any("theirs" in row or "their_free" in row for row in measured):
        lines.append(
            f"  - Torch-Pruning prunes {sum('their_free' in row for row in measured)} of them; Secateur takes at most "
            f"1.5 times its time in {as_fast} of the {len(timed)} that both prune."
        )
    return "\n".join(lines)


def cells(name: str, row: dict) -> str:
    """The row of a network in the table."""
    theirs = f"{100 * row['their_free'] / row['outputs']:.0f} %" if "their_free" in row else "fails"
    theirs = f" ({theirs})" if "theirs" in row or "their_free" in row else ""
    seconds = f" ({row['their_seconds']:.2f})" if "their_seconds" in row else ""
    shortened = " (shortened)" if row.get("shortened") else ""
    error = f"{max(row['errors']):.0e}" + (f" ({row['unsteady']:.0e})" if "unsteady" in row else "")
    failed = [f"{key}: {row[key]}".replace("|", "/") for key in CHECKS if row[key] != "yes"]
    return (
        f"| {short(name)}{shortened} | {row['side']} | {row['blocks'] - len(row['lossless'])} of {row['blocks']} "
        f"| {100 * row['free'] / row['outputs']:.0f} %{theirs} | {row['traced'] + row['removed']:.2f}{seconds} "
        f"| {row['tried'] + row['checked']:.2f} | {error} | {'; '.join(failed) or 'nothing'} |"
    )


def short(name: str) -> str:
    """A network's name without its zoo."""
    return name.partition(":")[2]


def version(package: str) -> str:
    """The version of a package, empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def machine() -> str:
    """The processor's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "a CPU")
