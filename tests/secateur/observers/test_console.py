"""What the terminal says of a run."""

import io
import logging
from types import SimpleNamespace

import pytest
import torch
from rich.text import Text

from secateur.observers import console
from secateur.observers.console import Console
from secateur.observers.live import LiveBars, TerminalLog
from secateur.pruning.plan import PruningStep
from secateur.utils.tables import Table
from secateur.utils.terminal import Terminal, first_that_fits, those_that_fit


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the console reads from its clock."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(console.time, "perf_counter", lambda: now.seconds)
    return now


@pytest.fixture
def run(caplog):
    images = SimpleNamespace(images=[None] * 1000)

    class Train(list):
        images = [None] * 1000

    log = logging.Logger("test")
    log.addHandler(caplog.handler)
    sparsity = SimpleNamespace(weight_sparsity=0.5, densities={})
    return SimpleNamespace(
        log=log, folder=SimpleNamespace(path="results/x"), network=torch.nn.Linear(1200, 1), device="cpu",
        model_spec={"model": "LeNet5", "data_set": "MNIST"}, machine=SimpleNamespace(precision="fp32"),
        data=SimpleNamespace(train=Train(range(10)), held_out=images, held_out_name="test", input_shape=(1, 28, 28)),
        sparsity=lambda: sparsity, flops=SimpleNamespace(total=5000, effective=lambda densities: 2500),
        checkpointing=SimpleNamespace(eval=False), criterion=SimpleNamespace(limit=0.9, has_limit=True, target=None),
        plan=SimpleNamespace(epochs=4, pruning_steps={0: [0.5], 1: [0.9]}), options=SimpleNamespace(seed=3),
        resumed={"epoch": 1},
    )  # fmt: skip


def step(**changes):
    return PruningStep(
        **{"epoch": 0, "sparsity": 0.9, "candidates": 2000, "kept": 500, "scores": {}, "masks": {}, **changes}
    )


def test_a_run_is_described_at_its_start(run, caplog):
    Console().run_started(run)
    assert caplog.messages == [
        "run folder: results/x",
        "LeNet5, 1,201 parameters, 2,500 of 5,000 FLOPs a sample, effective; "
        "MNIST as 1x28x28, 1,000 training and 1,000 test images; cpu, fp32",
        "SimpleNamespace, 2 pruning steps to sparsity 0.9; 4 epochs, seed 3",
    ]
    caplog.clear()
    run.sparsity().weight_sparsity, run.criterion.has_limit = 0.0, False
    run.plan.pruning_steps, run.plan.epochs = {0: [0.5]}, 1
    Console().run_started(run)
    assert "5,000 FLOPs a sample; MNIST" in caplog.messages[1]
    assert caplog.messages[2] == "SimpleNamespace, 1 pruning step by a threshold; 1 epoch, seed 3"
    run.plan.pruning_steps = {}
    Console().run_started(run)
    assert caplog.messages[-1] == "SimpleNamespace, no pruning; 1 epoch, seed 3"
    caplog.clear()
    run.checkpointing.eval = True
    Console().run_started(run)
    assert len(caplog.messages) == 2


def test_a_pruning_step_says_what_is_left_and_which_layers_have_nothing(run, caplog):
    told = Console()
    told.pruned(run, step(seconds=1.5, collapsed=["a"], regrown={"a": torch.tensor([True, True, False])}))
    nodes = step(unit="units", kept=1000, weights=step())
    told.pruned(run, nodes)
    assert caplog.messages == [
        "pruned to 0.75: 500 of 2,000 prunable weights kept, 2 of them regrown (1.50 s)",
        "LAYER COLLAPSE: a has lost its last weight; the network can no longer use its inputs",
        "pruned to 0.75: 500 of 2,000 prunable weights kept, 0.5: 1,000 of 2,000 prunable units kept (0.00 s)",
    ]


def test_of_many_steps_one_in_five_seconds_has_a_line_and_the_last(run, caplog, clock):
    run.plan.pruning_steps = {0: [0.5] * 30}
    told = Console()
    for _ in range(30):
        clock.seconds += 1
        told.pruned(run, step())
    assert [message.partition(":")[0] for message in caplog.messages] == [
        f"pruning step {number} of 30" for number in (1, 7, 13, 19, 25, 30)
    ]
    caplog.clear()
    run.plan.pruning_steps = {0: [0.5] * 20}
    told = Console()
    for _ in range(20):
        told.pruned(run, step())
    assert len(caplog.messages) == 20


def test_an_epoch_has_a_line(run, caplog):
    figures = {"epoch": 2, "train_loss": 0.5, "train_accuracy": 0.25, "test_loss": 1.0, "test_accuracy": 0.125}
    figures |= {"weight_sparsity": 0.5, "samples_per_second": 12345.6, "validation_accuracy": None}
    Console().epoch_finished(run, figures)
    assert caplog.messages == [
        "epoch   2 · train loss 0.5000 accuracy 25.00% · test loss 1.0000 accuracy 12.50% · sparsity 50.00% · "
        "12,346 samples/s"
    ]


def test_the_live_line_is_renewed_twice_a_second(run, clock):
    told = Console()
    told.run_started(run)
    assert told.live is None  # no terminal
    told.terminal.file, told.terminal._force_terminal = io.StringIO(), True
    run.plan.pruning_steps = {0: [0.5], 13: [0.9]}
    told.run_started(run)
    task, pruning = told.live.progress.tasks
    assert (task.total, task.completed) == (40, 0)
    assert (pruning.visible, pruning.total, pruning.fields["figures"]) == (True, 2, "step 1 of 2")
    told.evaluated(run, SimpleNamespace(accuracy=0.5))
    told.pruned(run, step())
    assert (pruning.completed, pruning.fields["figures"]) == (1, "step 2 of 2")
    means = SimpleNamespace(samples=300, read=lambda: {"loss": 1.5, "accuracy": 0.25})
    clock.seconds += 0.4
    told.batch_finished(run, 1, 1, 10, means)
    assert task.completed == 0
    clock.seconds += 0.1
    told.batch_finished(run, 1, 1, 10, means)
    assert (task.completed, task.description, pruning.visible) == (12, "epoch 2", False)
    # 1,300 samples in half a second
    figures = "loss 1.5000 · accuracy 25.0% (test 50.0%) · sparsity 50.00% · 2,600 samples/s"
    assert task.fields["figures"] == figures
    told.batch_finished(run, 1, 2, 10, means)  # what comes next, whenever it is, is pruning
    assert (task.completed, pruning.visible) == (13, True)
    told.epoch_finished(run, {"epoch": 2, "weight_sparsity": 0.5, "samples_per_second": 1.0})
    assert task.completed == 20
    told.run_failed(run, BrokenPipeError())
    assert not told.live.progress.live.is_started


def test_a_resumed_run_goes_on_where_it_was(run, caplog, clock):
    told = Console()
    told.pruned(run, step())
    told.on_save_state(state := {})
    again = Console()
    again.run_started(run)
    again.live = LiveBars(again.terminal, 40, 2)
    caplog.clear()
    again.run_resumed(run, state)
    again.live.close()
    assert caplog.messages == ["continues after 1 epoch of 4"]
    assert (again.steps, again.sparsity, again.samples, again.live.progress.tasks[0].completed) == (1, 0.5, 1000, 10)


def test_a_run_that_fails_says_where_the_rest_lies_unless_nobody_reads_it(run, caplog):
    Console().run_failed(run, BrokenPipeError())
    assert caplog.messages == []
    Console().run_failed(run, ValueError())
    assert caplog.messages == ["the run stopped early; what it computed is in results/x"]


def test_a_table_is_shown_with_text_to_the_left_and_numbers_to_the_right(run, capsys):
    rows = [{"layer": "features.0", "kept": 5}, {"layer": "b", "kept": 1234}]
    Console().table_created(run, Table("layers", "the layers", rows))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "the layers", "", "  layer         kept", " " + "─" * 20, "  features.0       5", "  b            1,234", "",
    ]  # fmt: skip


RESULTS = {
    "model": "LeNet5", "data_set": "MNIST", "test_accuracy": 0.5, "weight_sparsity": 0.75, "parameters_dense": 2000,
    "parameters_kept": 500, "flops_dense": 5000, "flops_effective": 1000,
}  # fmt: skip


def closing(run, capsys, **results):
    Console().run_finished(run, RESULTS | results)
    title, _, *lines, _ = capsys.readouterr().out.splitlines()
    return title.strip(), dict(map(str.strip, line.strip("│").split("│")) for line in lines)


def test_the_closing_table(run, capsys):
    shown = {
        "test accuracy": "50.00%", "weight sparsity": "75.00%", "parameters kept": "500 of 2,000",
        "FLOPs a sample, effective": "1,000 of 5,000", "run folder": "results/x",
    }  # fmt: skip
    assert closing(run, capsys) == ("LeNet5 on MNIST", shown)
    more = {
        "compact": {"parameters": 1500, "flops": 3000}, "checkpoint_bytes": 4096, "epochs": 1, "best_epoch": 7,
        "seconds_training": 1.25, "seconds_pruning": 0.5, "latency_ms_batch_1": 2.0, "latency_dense_ms_batch_1": 5.0,
        "latency_ms_batch_64": 4.0, "latency_dense_ms_batch_64": 4.0,
    }  # fmt: skip
    assert closing(run, capsys, **more)[1].items() - shown.items() == {
        ("compacted to", "1,500 parameters, 3,000 FLOPs a sample"), ("checkpoint on disk", "4,096 bytes"),
        ("time", "1.2 s training, 0.5 s pruning (1 epoch)"), ("best epoch, which is kept", "7"),
        ("latency", "2.00 of 5.00 ms for 1 image (2.5 x), 4.00 of 4.00 ms for 64 images (1.0 x)"),
    }  # fmt: skip
    assert "latency" not in closing(run, capsys, latency_ms_batch_1=2.0)[1]


def on_terminal(width):
    terminal = Terminal(width=width)
    terminal.file, terminal._force_terminal, terminal.width = io.StringIO(), True, width
    return terminal


WHOLE = "epoch  12 · train loss 0.5000 accuracy 25.00% · test loss 1.0000 accuracy 12.50% · sparsity 50.00%"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (120, f"{WHOLE} · 12,346 samples/s"),
        (100, WHOLE),
        (80, "epoch  12 · train accuracy 25.00% · test accuracy 12.50% · sparsity 50.00%"),
        (60, "epoch  12 · train accuracy 25.00% · test accuracy 12.50%"),
        (40, "epoch  12 · test accuracy 12.50%"),
    ],
)
def test_an_epoch_has_one_line_on_any_terminal(run, width, line):
    handler = TerminalLog(terminal := on_terminal(width))
    run.log.addHandler(handler)
    figures = {"epoch": 12, "train_loss": 0.5, "train_accuracy": 0.25, "test_loss": 1.0, "test_accuracy": 0.125}
    Console().epoch_finished(run, figures | {"weight_sparsity": 0.5, "samples_per_second": 12345.6})
    shown = [one.rstrip() for one in Text.from_ansi(terminal.file.getvalue()).plain.splitlines()]
    assert shown == [line]


@pytest.mark.parametrize(
    ("width", "figures"), [(80, "loss 1.5000 · accuracy 25.0% (test 50.0%)"), (60, "loss 1.5000"), (40, "")]
)
def test_the_bar_keeps_its_time_left_on_any_terminal(width, figures):
    bars = LiveBars(terminal := on_terminal(width), 1000, 1)
    parts = ["loss 1.5000", "accuracy 25.0% (test 50.0%)", "sparsity 50.00%", "2,600 samples/s"]
    bars.train(10, 12, parts)
    assert bars.progress.tasks[0].fields["figures"] == figures
    bars.prune(0)
    assert bars.progress.tasks[1].total is None  # of one step nobody knows when it ends
    bars.progress.stop()
    terminal.file = io.StringIO()
    terminal.print(bars.progress.get_renderable())
    training, pruning = Text.from_ansi(terminal.file.getvalue()).plain.splitlines()
    assert training.startswith("epoch 12 ")
    assert figures in training
    assert training.rstrip().endswith("0:00 so far")
    assert pruning.startswith("pruning ")
    bars.prune(1)
    assert (bars.progress.tasks[1].total, bars.progress.tasks[1].completed) == (1, 1)


def test_what_fits():
    assert [those_that_fit(["ab", "cd"], width) for width in (1, 2, 6, 7)] == ["", "ab", "ab", "ab · cd"]
    assert [first_that_fits(["abc", "ab", "abcd"], width) for width in (3, 2, 1)] == ["abc", "ab", "abcd"]


@pytest.mark.parametrize(
    ("epochs", "steps", "live"), [(4, {}, True), (0, {0: [0.5]}, True), (4, {0: [0.5]}, True), (0, {}, False)]
)
def test_on_a_terminal_what_trains_or_prunes_has_a_live_line(run, clock, epochs, steps, live):
    told = Console()
    told.terminal.file, told.terminal._force_terminal = io.StringIO(), True
    run.plan.epochs, run.plan.pruning_steps = epochs, steps
    told.run_started(run)
    assert (told.live is not None) == live
    if live:
        told.live.close()
