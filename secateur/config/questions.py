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
        common="help",
        suggested_for="ls show list_models list_criterions",
    )
    report: list[Path] | None = option(
        None,
        "compare runs that are there: write one page of tables and figures over these run folders, or folders of them",
        words="+",
        metavar="FOLDER",
        changes_numbers=False,
        common="continue, evaluate, compare",
        suggested_for="compare plot summary summarize",
    )
    completion: str | None = option(
        None,
        "write the script by which a shell completes flags, components and values: bash or zsh",
        choices=("bash", "zsh"),
        metavar="SHELL",
        changes_numbers=False,
    )
    version: bool = option(False, "show the version", changes_numbers=False)
    help: str | None = option(
        None,
        "show the flags that people use; all: every flag; the name of a component or a flag: what it is",
        words="?",
        alone="short",
        metavar="NAME",
        also=("h",),
        changes_numbers=False,
        common="help",
        suggested_for="usage",
    )
