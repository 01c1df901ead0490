"""What is written for TensorBoard, by the calls of its writer."""

import logging
from types import SimpleNamespace

import pytest
import torch
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from secateur.observers import tensorboard
from secateur.observers.tensorboard import TensorBoard
from secateur.utils.drawing import new_figure


class Writer:
    """Keeps what it is given: scalars as (name, value, step), histograms as they are."""

    def __init__(self, folder, purge_step=None):
        self.opened = (folder, purge_step)
        self.scalars, self.histograms, self.graphs, self.images, self.closed = [], [], [], [], False
        self.summaries, self.file_writer = [], self

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def add_histogram_raw(self, tag, **figures):
        self.histograms.append({"tag": tag, **figures})

    def add_image(self, name, picture, step, dataformats):
        assert dataformats == "HW"
        self.images.append((name, picture.tolist(), step))

    def add_summary(self, summary, step=None):
        self.summaries.append((summary.value[0], step))

    def add_graph(self, network, example):
        assert not network.training
        self.graphs.append(example)

    def close(self):
        self.closed = True


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(tensorboard, "SummaryWriter", Writer)
    declared = {
        flag: SimpleNamespace(option=SimpleNamespace(changes_numbers=numbers, is_path=flag == "data_dir"))
        for flag, numbers in (("seed", True), ("input_dim", True), ("data_dir", True), ("run_name", False))
    }
    values = {"model": "LeNet5", "seed": 3, "input_dim": [1, 8, 8], "data_dir": "d", "run_name": "n", "epochs": 9}

    class Settings(SimpleNamespace):
        def __getitem__(self, flag):
            return self.values[flag]

    return SimpleNamespace(
        resumed=None, settings=Settings(resume=None, values=values, declared=declared, given=frozenset(declared)),
        folder=SimpleNamespace(progress="progress", output=tmp_path),
        sparsity=lambda: SimpleNamespace(densities={"a": 0.5}), network=nn.Linear(1, 1), example=torch.zeros(1, 1),
        masks=SimpleNamespace(
            weights={"a": torch.tensor([[-1.0, 0.0], [0.0, 3.0]])}, kept={"a": torch.tensor([[True, False]])}
        ),
        model_name="LeNet5",
        log=logging.Logger("test"),
    )  # fmt: skip


def test_weights_are_written_at_first_after_epochs_with_pruning_and_at_the_end(run):
    observer = TensorBoard()
    observer.run_started(run)
    assert observer.writer.opened == ("progress", None)
    observer.epoch_finished(run, {"epoch": 1, "train_loss": 0.5, "test_loss": None})
    observer.pruned()
    for epoch in (2, 3):
        observer.epoch_finished(run, {"epoch": epoch, "train_loss": 0.25})
    assert not observer.writer.closed
    observer.run_finished(run, {"epochs": 3})
    assert observer.writer.closed
    assert observer.writer.graphs == [run.example]
    assert observer.writer.scalars == [
        ("sparsity/a", 0.5, 0), ("train_loss", 0.5, 1), ("train_loss", 0.25, 2), ("sparsity/a", 0.5, 2),
        ("train_loss", 0.25, 3), ("sparsity/a", 0.5, 3),
    ]  # fmt: skip
    assert [one["global_step"] for one in observer.writer.histograms] == [0, 2, 3]
    assert observer.writer.images == [("kept/a", [[1, 0]], epoch) for epoch in (0, 2, 3)]


def test_at_the_end_come_settings_results_and_pictures(run, tmp_path):
    new_figure(2, 1).savefig(tmp_path / "curves.png", dpi=50)
    observer = TensorBoard(disable_weightplot=True)
    observer.run_started(run)
    observer.run_finished(run, {"epochs": 3, "test_accuracy": 0.5, "seconds": 7})
    assert observer.writer.images == []
    assert ("results/test_accuracy", 0.5, 3) in observer.writer.scalars
    *settings, (picture, step) = observer.writer.summaries
    assert [(value.tag, at) for value, at in settings] == [
        (f"_hparams_/{name}", None) for name in ("experiment", "session_start_info", "session_end_info")
    ]
    typed = HParamsPluginData.FromString(settings[1][0].metadata.plugin_data.content).session_start_info.hparams
    found = {name: value.string_value or value.number_value for name, value in typed.items()}
    # What was typed and changes numbers, and no place; and what every table has.
    assert found == {"model": "LeNet5", "epochs": 9, "seed": 3, "input_dim": "[1, 8, 8]"}
    assert (picture.tag, step, picture.image.width, picture.image.height) == ("output/curves", 3, 100, 50)
    assert picture.image.colorspace == 4  # RGBA
    assert picture.image.encoded_image_string == (tmp_path / "curves.png").read_bytes()


def test_what_was_not_trained_is_written_at_epoch_0(run):
    observer = TensorBoard()
    observer.run_started(run)
    observer.run_finished(run, {"test_accuracy": 0.5})
    assert {at for _, _, at in observer.writer.scalars} == {0}
    assert [one["global_step"] for one in observer.writer.histograms] == [0, 0]


def test_a_histogram_by_hand(run):
    observer = TensorBoard(disable_netplot=True)
    observer.run_started(run)
    assert observer.writer.graphs == []
    (found,) = observer.writer.histograms
    limits, counts = found.pop("bucket_limits"), found.pop("bucket_counts")
    assert found == {
        "tag": "weights/a", "min": -1, "max": 3, "num": 4, "sum": 2, "sum_squares": 10, "global_step": 0,
    }  # fmt: skip
    assert limits == pytest.approx([-1 + 4 * (number + 1) / 64 for number in range(64)])
    assert {number: count for number, count in enumerate(counts) if count} == {0: 1, 16: 2, 63: 1}


def test_without_histograms_the_sparsity_is_written_all_the_same(run):
    observer = TensorBoard(disable_histograms=True)
    observer.run_started(run)
    assert (observer.writer.scalars, observer.writer.histograms) == ([("sparsity/a", 0.5, 0)], [])


def test_a_resumed_run_writes_later_epochs_again_and_nothing_of_the_beginning(run):
    observer = TensorBoard()
    observer.pruned()
    observer.on_save_state(state := {})
    again = TensorBoard()
    run.resumed = {"epoch": 4}
    again.run_started(run)
    again.run_resumed(state)
    assert again.writer.opened == ("progress", 5)
    assert again.writer.scalars == []
    again.epoch_finished(run, {"epoch": 5})
    assert again.writer.scalars == [("sparsity/a", 0.5, 5)]
    again.run_failed()
    assert again.writer.closed
    TensorBoard().run_failed()  # before it began


def test_a_run_that_begins_anew_with_resume_writes_from_the_start(run):
    run.settings.resume = "x"
    observer = TensorBoard()
    observer.run_started(run)
    assert observer.writer.opened == ("progress", 0)


def test_after_a_disk_error_the_next_time_has_a_writer_of_its_own(run, monkeypatch):
    observer = TensorBoard()
    observer.run_started(run)
    first = observer.writer

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(first, "add_scalar", full)
    with pytest.raises(OSError, match="No space"):
        observer.epoch_finished(run, {"epoch": 1, "train_loss": 0.5})
    observer.epoch_finished(run, {"epoch": 2, "train_loss": 0.5})
    assert observer.writer is not first
    assert observer.writer.scalars == [("train_loss", 0.5, 2)]


def test_a_network_that_cannot_be_traced_has_no_graph_and_that_is_logged(run, monkeypatch, caplog):
    def fails(*_):
        raise ValueError("if x.sum() > 0")

    monkeypatch.setattr(Writer, "add_graph", fails)
    run.log.addHandler(caplog.handler)
    TensorBoard().run_started(run)
    assert caplog.messages == ["TensorBoard has no graph of LeNet5: ValueError"]


def test_pictures_come_in_the_order_of_their_names(run, tmp_path):
    names = ["h", "b", "g", "a", "f", "c", "e", "d"]
    new_figure(1, 1).savefig(tmp_path / "h.png", dpi=10)
    for name in names[1:]:
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "h.png").read_bytes())
    observer = TensorBoard()
    observer.run_started(run)
    observer.run_finished(run, {})
    assert [value.tag for value, _ in observer.writer.summaries[3:]] == [f"output/{name}" for name in "abcdefgh"]


def test_masks_are_drawn_64_pixels_wide_and_as_bright_as_their_fullest_place(run):
    run.masks.kept = {"wide": torch.tensor([[True, False] + [False] * 126]), "empty": torch.zeros(1, 2)}
    observer = TensorBoard()
    observer.run_started(run)
    assert observer.writer.images == [("kept/wide", [[1.0, *[0.0] * 63]], 0), ("kept/empty", [[0.0, 0.0]], 0)]


@pytest.mark.parametrize(("layers", "drawn"), [(40, 40), (41, 0)])
def test_masks_of_more_than_40_layers_are_not_drawn(run, layers, drawn):
    run.masks.kept = {str(number): torch.ones(1, 1) for number in range(layers)}
    observer = TensorBoard()
    observer.run_started(run)
    assert len(observer.writer.images) == drawn


def test_what_was_typed_stands_behind_what_every_table_has(run):
    options = {name: SimpleNamespace(option=SimpleNamespace(changes_numbers=True, is_path=False)) for name in "dbfcea"}
    run.settings.declared, run.settings.given = run.settings.declared | options, frozenset(options) | {"seed"}
    run.settings.values = run.settings.values | dict.fromkeys(options, True)
    observer = TensorBoard()
    observer.run_started(run)
    observer.run_finished(run, {})
    content = observer.writer.summaries[0][0].metadata.plugin_data.content
    infos = HParamsPluginData.FromString(content).experiment.hparam_infos
    assert [info.name for info in infos] == ["model", "epochs", "seed", *"abcdef"]
