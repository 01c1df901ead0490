"""The checkpoints that training keeps: as it goes, at its end, and where it fails or is stopped."""

import math
import time

import pytest
import torch
from safetensors.torch import load_file

from secateur.runs.checkpoint import restore_checkpoint
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError
from tests.commands import PRUNED


def names(run):
    return sorted(path.name for path in run.folder.models.glob("*.safetensors"))


def test_checkpoints_are_kept_before_pruning_and_at_the_end(make_run):
    run = make_run("--model LeNet300 --prune_criterion SNIP --epochs 2 --N 50")
    DefaultTrainer(run).train()
    assert names(run) == [
        "LeNet300_compact.safetensors",
        "LeNet300_epoch_0.safetensors",
        "LeNet300_finished.safetensors",
    ]
    results, name = run.folder.path.parent, run.folder.path.name
    before, finished = (find_checkpoint(results, name, f"LeNet300_{kind}") for kind in ("epoch_0", "finished"))
    assert (before.metadata["epoch"], finished.metadata["epoch"]) == (0, 2)
    assert finished.metadata["figures"]["epochs"] == 2


def test_save_freq_keeps_more(make_run):
    run = make_run("--model LeNet300 --epochs 5 --N 50 --save_freq 2")
    DefaultTrainer(run).train()
    assert names(run) == [f"LeNet300_{kind}.safetensors" for kind in ("epoch_2", "epoch_4", "finished")]


def test_a_loss_that_is_nan_stops_the_run_and_leaves_the_last_good_checkpoint(make_run):
    run = make_run("--model LeNet300 --epochs 3 --N 96 --batch_size 32")
    trainer = DefaultTrainer(run)
    original = trainer.compute_loss

    def compute_loss(inputs, targets):
        loss, logits = original(inputs, targets)
        broken = trainer.epoch == 1 and trainer.means.batches == 1
        return (loss * math.nan if broken else loss), logits

    trainer.compute_loss = compute_loss
    with pytest.raises(UserError, match=r"epoch 2, batch 2: try a smaller --learning_rate.*models/last"):
        trainer.train()
    last = find_checkpoint(run.folder.path.parent, run.folder.path.name, "last")
    restore_checkpoint(last, run.network)
    assert all(parameter.isfinite().all() for parameter in run.network.parameters())


def test_weights_that_overflow_in_the_last_step_are_noticed_too(make_run):
    run = make_run("--model LeNet300 --epochs 1 --N 64")
    trainer = DefaultTrainer(run)
    original = trainer.train_batch

    def train_batch(inputs, targets):
        original(inputs, targets)
        run.network.classifier.weight.data.fill_(math.inf)

    trainer.train_batch = train_batch
    with pytest.raises(UserError, match="weights became NaN or infinite in epoch 1, by batch 1"):
        trainer.train()


def test_an_interrupted_run_leaves_its_last_state(make_run):
    run = make_run(f"{PRUNED} --epochs 2")
    trainer = DefaultTrainer(run)

    def interrupted(inputs, targets):
        trainer.network.classifier.bias.data.fill_(7.0)
        trainer.network.classifier.weight.data.fill_(3.0)  # as within a step, before the masks
        raise KeyboardInterrupt

    trainer.train_batch = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    run.network.classifier.bias.data.zero_()
    last = find_checkpoint(run.folder.path.parent, run.folder.path.name, "last")
    assert last.metadata["epoch"] == 0
    assert torch.equal(load_file(f"{last.path}.safetensors")["classifier.weight"], 3.0 * run.masks.kept["classifier"])
    restore_checkpoint(last, run.network)
    assert (run.network.classifier.bias == 7.0).all()


@pytest.mark.parametrize(("batches", "stopped"), [(1, True), (2, True), (3, False)])
def test_an_epoch_that_ends_before_its_last_batch_is_not_a_whole_one(make_run, batches, stopped):
    run = make_run("--model LogisticRegression --epochs 1 --N 48 --batch_size 16")
    trainer = DefaultTrainer(run)
    trainer.out_of_time = lambda: trainer.pruner.step == batches
    results = trainer.train()
    assert trainer.pruner.step == batches
    assert run.notices == (["stopped by --max_training_minutes in epoch 1 of 1"] if stopped else [])
    assert (results["epochs"], results["seconds_pruning"]) == (1, 0)
    assert results["seconds_training"] == trainer.epoch_seconds > 0


def test_max_training_minutes_stops_cleanly_with_results(make_run, monkeypatch):
    run = make_run("--model LeNet300 --epochs 50 --N 64 --max_training_minutes 1 --prune_criterion SNIPitDuring "
                   "--prune_delay 40 --pruning_limit 0.3")  # fmt: skip
    trainer = DefaultTrainer(run)
    clock = time.perf_counter()
    # Twenty seconds pass at each look at the clock.
    ticks = iter(range(10**6))
    monkeypatch.setattr("secateur.trainers.DefaultTrainer.time.perf_counter", lambda: clock + 20 * next(ticks))
    results = trainer.train()
    assert results["epochs"] < 3
    assert results["test_accuracy"] > 0
    assert "stopped by --max_training_minutes" in run.notices[-1]
    assert "1 pruning step still to come" in run.notices[-1]
    assert names(run) == ["LeNet300_finished.safetensors"]
