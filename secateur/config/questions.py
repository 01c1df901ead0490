"""What can be asked of Secateur instead of a run."""

from __future__ import annotations

from pathlib import Path

from secateur.config.option import Section, option


class Questions(Section):
    """Flags that are answered, and start nothing."""

    title = "questions"

    list: str | None = option(
        None,
        "list the components: all, or criterions, models, data_sets, ...",
        words="?",
        alone="all",
        metavar="KIND",
        changes_numbers=False,
        common="help",
        suggested_for="ls show list_models list_criterions",
    )
    report: list[Path] | None = option(
        None,
        "compare runs: write a page of tables and figures; takes run folders, or folders of them",
        words="+",
        metavar="FOLDER",
        changes_numbers=False,
        common="continue, evaluate, compare",
        suggested_for="compare plot summary summarize",
    )
    completion: str | None = option(
        None,
        "print the script that completes flags, components and values in a shell: bash or zsh",
        choices=("bash", "zsh"),
        metavar="SHELL",
        changes_numbers=False,
    )
    version: bool = option(False, "show the version", changes_numbers=False)
    help: str | None = option(
        None,
        "show the flags that people use; all: every flag; the name of a component or a flag: its description",
        words="?",
        alone="short",
        metavar="NAME",
        also=("h",),
        changes_numbers=False,
        common="help",
        suggested_for="usage",
    )
