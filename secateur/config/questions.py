"""What can be asked of Secateur instead of a run."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import Section, option


class Questions(Section):
    """Flags that are answered, and start nothing."""

    title = "questions"

    list: str | None = option(
        None,
        "show the components: all, or criterions, models, data_sets, ...",
        words="?",
        alone="all",
        metavar="KIND",
        changes_numbers=False,
    )
    report: list[Path] | None = option(
        None,
        "compare runs that are there: write one page of tables and figures over these run folders, or folders of them",
        words="+",
        metavar="FOLDER",
        changes_numbers=False,
    )
    version: bool = option(False, "show the version", changes_numbers=False)
    help: bool = option(
        False, "show this, with the options of the components that are named", also=("h",), changes_numbers=False
    )
