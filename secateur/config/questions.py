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
    board: Path | None = option(
        None,
        "show the runs of a folder in a browser, live (default: --results_dir); read only, on this machine alone",
        words="?",
        alone=True,
        metavar="FOLDER",
        changes_numbers=False,
        common="continue, evaluate, compare",
        suggested_for="dashboard serve monitor watch web ui gui live browse",
    )
    port: int = option(
        8321,
        "port of --board on this machine; 0: any that is free (default: 8321, or one that is free)",
        low=0,
        high=65535,
        changes_numbers=False,
    )
    time_to_accuracy: float | None = option(
        None,
        "with --report: compare how many seconds of training the runs took to reach this accuracy, as 0.9 for 90 %",
        low=0,
        high=1,
        above=True,
        metavar="FRACTION",
        changes_numbers=False,
        suggested_for="time_to seconds_to_accuracy target_accuracy accuracy_threshold",
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
