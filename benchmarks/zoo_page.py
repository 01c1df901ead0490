"""Writes what benchmarks/zoo.py has measured as a page."""

#: What the page begins with.
PAGE = """# Networks of others

Which channels of the classifiers of torchvision, and of families of timm, can go, and whether what is left computes
what it should. Made by `python3 benchmarks/zoo.py`, whose text says how.

- channels: outputs of layers that can go, of all but the classes; in brackets with Torch-Pruning, or that it fails.
  Layers that lose none are counted, and named below.
- seconds: to trace and to remove half of the channels; to try all groups and to check the removal before; with
  Torch-Pruning, which checks nothing. One thread.
- error: how far the outputs without a quarter, a half, or nine tenths of the channels are off those with zeros at most,
  relative to the largest output, in float64.
- then: a training step, a checkpoint in a fresh network, and torch.export of the half.

| network | side | channels | layers with none | seconds | checks | theirs | error | then |
|---|---|---|---|---|---|---|---|---|"""


def page(rows: dict[str, dict]) -> str:
    """The page of what was measured."""
    failed = {name: row["failed"] for name, row in rows.items() if "failed" in row}
    lines = [PAGE]
    lines += [cells(name, row) for name, row in rows.items() if name not in failed]
    lines += ["", "## Layers that stay", ""]
    for name, row in rows.items():
        for layer, why in list(row.get("fixed", {}).items())[:2]:
            lines.append(f"- {name}: {layer}: {why}")
        for root, why in row.get("broken", {}).items():
            lines.append(f"- {name}: {root} was not removed: {why}")
    lines += ["", f"{len(rows) - len(failed)} networks have been measured; others are not in the table yet."]
    lines += ["", "## Not measured", "", *(f"- {name}: {why}" for name, why in failed.items())]
    return "\n".join(lines) + "\n"


def cells(name: str, row: dict) -> str:
    """The row of a network in the table."""
    theirs = f"{100 * row['their_free'] / row['outputs']:.0f} %" if "their_free" in row else "fails"
    theirs = theirs if "theirs" in row or "their_free" in row else "-"
    wrong = [f"{key}: {row[key]}".replace("|", "/") for key in ("step", "loaded", "exported") if row[key] != "yes"]
    return (
        f"| {name} | {row['side']} | {100 * row['free'] / row['outputs']:.0f} % ({theirs}) | {row['whole']} of "
        f"{row['layers']} | {row['traced'] + row['removed']:.1f} | {row['tried'] + row['checked']:.1f} | "
        f"{row.get('their_seconds', '-')} | {max(row['errors']):.0e} | {'; '.join(wrong) or 'yes'} |"
    )
