"""What a person sees of a grid."""

import io
from types import SimpleNamespace

import pytest

from secateur.grid import progress
from secateur.grid.index import DONE, FAILED, Index
from secateur.grid.options import GridOptions
from secateur.grid.progress import GridProgress, duration, show_plan
from secateur.grid.trials import Grid, trials_of


def grid_of(folder, seeds, **fields):
    trials = trials_of([{"epochs": ("3",), "seed": (str(seed),)} for seed in seeds])
    return Grid(trials, folder / "grid", ["--seed", "1,2"], GridOptions(), "grid", **fields)


def rows_of(grid):
    """The index of a grid of which nothing has run."""
    index = Index(grid)
    index.read()
    return index


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (150, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (9000, "2.5 h")],
)
def test_a_time_as_people_say_it(seconds, shown):
    assert duration(seconds) == shown


def test_the_plan_has_a_row_for_each_run_and_an_estimate_of_the_rest(tmp_path, capsys):
    grid = grid_of(tmp_path, (1, 2, 3, 4), partial={"alpha": 2}, smoke_of=9)
    index = rows_of(grid)
    first, second, third, _ = index.rows.values()
    first.update(status=DONE, test_accuracy=0.5, seconds=10.0)
    second.update(status=DONE, validation_accuracy=0.25, seconds=20.0)
    third.update(status=FAILED, error="no disk", seconds=1000.0)
    show_plan(grid, index, jobs=2)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in lines[1:7]] == [
        ["seed", "status", "test", "accuracy", "seconds"],
        ["─" * len(lines[2].strip())],
        ["1", "done", "50.00%", "10.0"],
        ["2", "done", "25.00%", "20.0"],
        ["3", "failed:", "no", "disk", "1000.0"],
        ["4", "missing"],
    ]
    assert lines[1].index("accuracy") + len("accuracy") == lines[3].index("%") + 1  # numbers stand to the right
    assert lines[3].index("done") == lines[1].index("status")
    # two runs of 15 s each, two at a time
    assert lines[8:] == [
        "every run: --epochs 3", "--alpha applies to the 2 of 4 runs whose components have it",
        f"grid folder: {grid.folder}",
        progress.SMOKE.format(9),
        "4 runs: 2 done, 2 to run, about 15 s (15.0 s a run, 2 at a time)",
    ]  # fmt: skip


def test_of_many_runs_the_first_and_the_last_are_shown(tmp_path, capsys):
    for count, seeds in ((25, range(25)), (26, [*range(20), *range(21, 26)])):
        grid = grid_of(tmp_path, range(count))
        show_plan(grid, rows_of(grid), jobs=1)
        out = capsys.readouterr().out
        assert [int(line.split()[0]) for line in out.splitlines() if "missing" in line] == list(seeds)
        assert ("... 1 more" in out) == (count == 26)
        assert f"{count} runs: 0 done, {count} to run; how long that takes is known once one of them has" in out


def test_a_run_that_has_ended_is_a_line_with_the_time_that_is_left(tmp_path, capsys, monkeypatch):
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.seconds)
    grid = grid_of(tmp_path, range(10))
    told = GridProgress(grid, runs=10, jobs=2)
    rows = list(rows_of(grid).rows.values())
    rows[0].update(test_accuracy=0.5, validation_accuracy=0.25, seconds=1.25)
    rows[1].update(status=FAILED, error="no disk")
    clock.seconds = 6.0
    with told:
        for row in rows[:3]:
            told.ran(row)
        assert (told.bar.tasks[0].completed, told.bar.tasks[0].total) == (3, 10)
        for row in rows[3:]:
            told.ran(row)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        " 1 of 10 · seed 0 · test accuracy 50.00%, validation accuracy 25.00%, 1.2 s · 54 s left",
        " 2 of 10 · seed 1 · FAILED: no disk · 24 s left",
        " 3 of 10 · seed 2 ·  · 14 s left",
    ]
    assert lines[-1] == "10 of 10 · seed 9 · "


def test_on_a_terminal_the_line_of_a_run_is_as_long_as_there_is_room_for(tmp_path, monkeypatch):
    grid = grid_of(tmp_path, range(10))
    row = next(iter(rows_of(grid).rows.values()))
    row.update(test_accuracy=0.5, seconds=1.25)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: 0.0)
    told = []
    for width in (60, 50, 45):
        shown = GridProgress(grid, runs=10, jobs=2)
        shown.terminal._force_terminal, shown.terminal.width, shown.say = True, width, told.append
        shown.ran(row)
    assert told == [
        " 1 of 10 · seed 0 · test accuracy 50.00%, 1.2 s · 0 s left", " 1 of 10 · seed 0 · test accuracy 50.00%, 1.2 s",
        " 1 of 10 · 0 · test accuracy 50.00%, 1.2 s",
    ]  # fmt: skip


def test_the_bar_lives_where_there_is_a_terminal(tmp_path, monkeypatch):
    told = GridProgress(grid_of(tmp_path, (1, 2)), runs=2, jobs=1)
    assert told.bar.disable
    out = io.StringIO()
    monkeypatch.setattr(progress.Terminal, "is_terminal", property(lambda self: True))
    monkeypatch.setattr(progress.Terminal, "file", property(lambda self: out, lambda self, value: None))
    with GridProgress(grid_of(tmp_path, (1, 2)), runs=2, jobs=1) as told:
        assert told.bar.live.is_started
    assert not told.bar.live.is_started
