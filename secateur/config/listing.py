"""The tables of components that `--list` shows."""

from rich.table import Table
from rich.text import Text

from secateur.config.kinds import KINDS
from secateur.config.registry import ZOOS, Registry
from secateur.utils.errors import UserError, nearest
from secateur.utils.terminal import Terminal, width_of_terminal

#: On a narrower terminal a component's place has no column, and stands beside what it is where it is not the usual one.
NARROW = 110


def print_components(registry: Registry, kind: str) -> None:
    """Show every component of a kind (or of `all`): its name, what it is, and where it comes from."""
    kind = kind.replace("-", "_")
    if kind != "all" and kind not in KINDS:
        raise UserError(f"--list {kind}: there is no such kind{nearest(kind, KINDS)}")
    console = Terminal(width=width_of_terminal(otherwise=160))
    narrow = console.width < NARROW
    for shown in KINDS if kind == "all" else [kind]:
        table = Table(title=shown, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=False)
        table.add_column("name", style="cyan", no_wrap=True)
        table.add_column("what it is")
        if not narrow:
            table.add_column("from", style="dim")
        for component in registry.components(shown):
            aliases = f" (also: {', '.join(component.aliases)})" if component.aliases else ""
            summary = component.source.summary if component.source else ""
            elsewhere = component.origin != f"{shown}/{component.name}.py"
            summary += aliases + (f" (from: {component.origin})" if narrow and elsewhere else "")
            table.add_row(component.name, Text(summary), *([] if narrow else [component.origin]))
        if shown == "models":
            for zoo in ZOOS:
                row = f"{zoo}:NAME", f"any classification network of {zoo}", f"package {zoo}"
                table.add_row(*row[: len(table.columns)])
        console.print(table)
        console.print()
