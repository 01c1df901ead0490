"""What the terminal shows at the limits: of many steps, of narrow and wide tables, of bars that have no room."""

import io
from types import SimpleNamespace

import pytest
import torch

from secateur.observers.console import Console
from secateur.observers.live import LiveBars
from secateur.utils.tables import Table
from tests.secateur.observers.test_console import RESULTS, clock, on_terminal, run, step  # noqa: F401


def test_from_21_steps_on_lines_are_numbered(run, caplog, clock):  # noqa: F811
    for planned, numbered in ((20, False), (21, True)):
        caplog.clear()
        run.plan.pruning_steps = {0: [0.5] * (planned - 1), 5: [0.9]}
        Console().pruned(run, step())
        start = f"pruning step 1 of {planned}: " if numbered else ""
        assert caplog.messages == [f"{start}pruned to 0.75: 500 of 2,000 prunable weights kept (0.00 s)"]


def test_what_a_criterion_aims_at_is_named(run, caplog):  # noqa: F811
    run.criterion.target = ["100 FLOPs", "2 ms"]
    Console().run_started(run)
    assert caplog.messages[-1] == "SimpleNamespace, 2 pruning steps to 100 FLOPs, 2 ms; 4 epochs, seed 3"


def test_repairs_have_a_line_each(run, caplog):  # noqa: F811
    Console().pruned(run, step(repairs=["kept a", "kept b"]))
    assert caplog.messages[1:] == ["kept a", "kept b"]


def test_what_a_terminal_would_obey_is_escaped_and_goes_to_the_output(run, capsys):  # noqa: F811
    run.folder.path = "results/\x1b[2J"
    Console().run_started(run)
    assert capsys.readouterr().out.splitlines()[0] == r"run folder: results/\x1b[2J"


def test_before_the_first_test_and_pruning_the_live_line_says_so(run, clock):  # noqa: F811
    told = Console()
    told.terminal.file, told.terminal._force_terminal = io.StringIO(), True
    run.plan.pruning_steps = {}
    told.run_started(run)
    means = SimpleNamespace(samples=100, read=lambda: {"loss": 1.5, "accuracy": 0.25})
    clock.seconds += 2
    told.batch_finished(run, 0, 0, 10, means)
    task = told.live.progress.tasks[0]
    assert task.fields["figures"] == "loss 1.5000 · accuracy 25.0% · sparsity 0.00% · 50 samples/s"
    assert (task.completed, task.description) == (1, "epoch 1")
    assert told.live.progress.live.is_started
    told.run_finished(run, RESULTS)
    assert not told.live.progress.live.is_started


def test_the_narrowest_terminal_has_the_accuracy_that_counts(run):  # noqa: F811
    line = []
    run.log.handlers = [
        SimpleNamespace(level=0, handle=lambda record: line.extend([record.getMessage(), record.shorter]))
    ]
    figures = {f"{name}_{what}": 0.5 for name in ("train", "validation", "test") for what in ("loss", "accuracy")}
    Console().epoch_finished(run, {"epoch": 1, **figures, "weight_sparsity": 0.5, "samples_per_second": 1.4})
    short = [f"{name} accuracy 50.00%" for name in ("train", "validation", "test")]
    whole = [f"{name} loss 0.5000 accuracy 50.00%" for name in ("train", "validation", "test")]
    more = ["sparsity 50.00%", "1 samples/s"]
    assert line == [
        " · ".join(["epoch   1", *whole, *more]),
        [
            " · ".join(["epoch   1", *parts])
            for parts in ([*whole, more[0]], [*short, *more], [*short, more[0]], short, short[2:])
        ],
    ]


def test_long_cells_are_folded_and_text_is_to_the_left(run, capsys):  # noqa: F811
    rows = [{"mixed": 5, "wide": "x" * 200}, {"mixed": "a", "wide": "y"}, {"mixed": None, "wide": None}]
    Console().table_created(run, Table("t", "the table", rows))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "the table"
    assert max(map(len, lines)) == 119
    assert sum(line.count("x") for line in lines[4:]) == 200
    assert [line[:8] for line in lines[2:]] == ["  mixed ", " " + "─" * 7, "  5     ", "        ", "  a     ", "", ""]


def test_the_closing_table_letter_by_letter(run, capsys):  # noqa: F811
    run.folder.path = "results/" + "x" * 120
    Console().run_finished(run, RESULTS)
    lines = capsys.readouterr().out.splitlines()
    label = len(" FLOPs a sample, effective ")
    wide = 120 - label - 3
    rows = [
        ("test accuracy", "50.00%"),
        ("weight sparsity", "75.00%"),
        ("parameters kept", "500 of 2,000"),
        ("FLOPs a sample, effective", "1,000 of 5,000"),
        ("run folder", "results/" + "x" * (wide - 10)),
        ("", "x" * (120 - wide + 10)),
    ]
    assert [line.rstrip() for line in lines] == [
        "LeNet5 on MNIST",
        f"┌{'─' * label}┬{'─' * wide}┐",
        *(f"│ {name:{label - 1}}│ {text:{wide - 1}}│" for name, text in rows),
        f"└{'─' * label}┴{'─' * wide}┘",
    ]


def test_figures_have_all_the_room_that_bar_and_time_leave():
    # 10 for the bar, 4 for the per cent, 12 for the time, 4 for the gaps and 8 for the description
    for width, shown in ((58, "x" * 20), (57, "")):
        bars = LiveBars(terminal := on_terminal(width), 10, 2)
        bars.train(5, 12, ["x" * 20])
        assert bars.progress.tasks[0].fields["figures"] == shown
        bars.close()
        terminal.file = io.StringIO()
        bars.prune(0)
        terminal.print(bars.progress.get_renderable())
        assert len(terminal.file.getvalue().splitlines()) == 2  # no line is broken


def test_bars_are_there_as_long_as_they_say_something():
    bars = LiveBars(on_terminal(80), 0, 3)
    training, pruning = bars.progress.tasks
    assert (training.visible, training.total, training.fields, training.description) == (
        *(False, 0, {"figures": ""}, "training"),
    )
    assert (pruning.visible, pruning.total, pruning.fields, pruning.description) == (
        *(False, 3, {"figures": ""}, "pruning"),
    )
    assert bars.progress.live.is_started
    columns = [column.get_table_column() for column in bars.progress.columns]
    assert [column.no_wrap for column in columns] == [True, False, True, True, True]
    assert columns[1].min_width == 10
    for steps, said in ((0, "step 1 of 3"), (2, "step 3 of 3"), (3, "step 3 of 3")):
        bars.prune(steps)
        assert (pruning.visible, pruning.completed, pruning.total, pruning.fields["figures"]) == (True, steps, 3, said)
    bars.train(0, 0)
    assert (training.description, pruning.visible) == ("training", False)
    bars.train(1, 1, ["a"])
    bars.train(2, 1)
    assert (training.description, training.completed, training.fields["figures"]) == ("epoch 1", 2, "a")
    bars.prune(1)
    bars.close()
    assert (pruning.visible, bars.progress.live.is_started) == (False, False)


@pytest.mark.parametrize(("batches", "steps", "visible", "total"), [(1, 1, True, None), (1, 2, True, 2)])
def test_a_single_pruning_step_has_no_number(batches, steps, visible, total):
    bars = LiveBars(on_terminal(80), batches, steps)
    training, pruning = bars.progress.tasks
    assert (training.visible, training.total, pruning.total) == (visible, 1, total)
    bars.prune(0)
    assert pruning.fields["figures"] == ("" if total is None else "step 1 of 2")
    assert pruning.total == total
    bars.close()


def test_regrown_weights_of_all_layers_are_counted(run, caplog):  # noqa: F811
    Console().pruned(run, step(regrown={"a": torch.tensor([True, True]), "b": torch.tensor([True, False])}))
    assert caplog.messages == ["pruned to 0.75: 500 of 2,000 prunable weights kept, 3 of them regrown (0.00 s)"]
