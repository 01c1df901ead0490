"""In which order a trainer does what, with every part that it calls in a test's hands."""

from types import SimpleNamespace

import pytest
import torch

from secateur.parallel.collectives import LostProcessError
from secateur.trainers import DefaultTrainer as DefaultTrainer_module
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError

LINEAR = "--model LogisticRegression --N 60 --batch_size 20"


class Told:
    """Observers that write down what they are told of, and of what."""

    def __init__(self, done):
        self.done = done

    def __getattr__(self, name):
        return lambda **arguments: self.done.append((name, arguments))


@pytest.fixture
def recorded(make_run, monkeypatch):
    """A trainer and the list of what it does: each of these methods only writes its name down."""

    def make(flags, *methods):
        trainer, done = DefaultTrainer(make_run(f"{LINEAR} {flags}")), []
        for name in methods:
            monkeypatch.setattr(trainer, name, lambda *_, name=name, **__: done.append(name))
        return trainer, done

    return make


STEPS = ("prune_as_planned", "save_state", "train_epoch", "conclude_epoch", "conclude")
EPOCH = ["prune_as_planned", "save_state", "train_epoch", "conclude_epoch", "save_state"]


def test_each_epoch_prunes_trains_and_saves_and_the_last_pruning_comes_at_the_end(recorded):
    trainer, done = recorded("--epochs 2", *STEPS)
    trainer.train()
    assert done == [*EPOCH, *EPOCH, "prune_as_planned", "conclude"]
    assert trainer.epoch == 2


def test_where_time_is_up_nothing_is_pruned_any_more(recorded):
    trainer, done = recorded("--epochs 2", *STEPS)
    trainer.out_of_time = lambda: trainer.epoch == 1
    trainer.train()
    assert done == [*EPOCH, "conclude"]


@pytest.mark.parametrize(
    ("error", "saved"),
    [
        (LostProcessError("a process is gone"), [("last", {"epoch": 1})]),
        (KeyboardInterrupt(), [("last", {"epoch": 1})]),
        (ValueError("a bug"), [("last", {"epoch": 1})]),
        (UserError("a loss is NaN"), []),
    ],
)
def test_the_last_state_is_saved_unless_its_numbers_are_bad(recorded, error, saved):
    trainer, _ = recorded("--epochs 2", "prune_as_planned", "save_state", "conclude_epoch")
    kept = []

    def train_epoch():
        if trainer.epoch == 1:
            raise error

    trainer.train_epoch, trainer.save = train_epoch, lambda name, **metadata: kept.append((name, metadata))
    with pytest.raises(type(error)):
        trainer.train()
    assert kept == saved


def test_minutes_of_training_count_from_its_start_and_are_over_after_their_last_second(make_run, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(DefaultTrainer_module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    trainer = DefaultTrainer(make_run(f"{LINEAR} --epochs 1 --max_training_minutes 2"))
    clock.now, seen = 1000.0, []

    def train_epoch():
        for clock.now in (1000.0, 1120.0, 1120.5):
            seen.append(trainer.out_of_time())

    for name in ("prune_as_planned", "save_state", "conclude_epoch", "conclude"):
        monkeypatch.setattr(trainer, name, lambda: None)
    monkeypatch.setattr(trainer, "train_epoch", train_epoch)
    trainer.train()
    assert seen == [False, False, True]


def test_an_epoch_counts_its_batches_and_tells_of_each(recorded, monkeypatch):
    trainer, done = recorded("--epochs 2 --lookahead 5", "count_flops")
    run, clock = trainer.run, SimpleNamespace(now=0.0)
    run.hooks = Told(done)
    trainer.flops, trainer.training_flops, trainer.evaluation, trainer.epoch = 7, 1000, "old", 1
    trainer.seconds["training"] = 100.0
    trainer.pruner.step = 3
    trainer.slow = SimpleNamespace(meet=lambda: done.append("meet"), restart=lambda: done.append("restart"))
    monkeypatch.setattr(DefaultTrainer_module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(DefaultTrainer_module, "fork_rng", lambda *told: done.append(told))
    monkeypatch.setattr(DefaultTrainer_module, "check_numbers", lambda trainer: done.append("checked"))
    collectives = DefaultTrainer_module.collectives
    monkeypatch.setattr(collectives, "check_same_weights", lambda network: done.append(("same", network)))
    monkeypatch.setattr(trainer.schedule, "step", lambda: done.append("rate"))
    monkeypatch.setattr(trainer.masks, "apply_to_weights", lambda: done.append("masked"))
    for name in ("reset", "join"):
        monkeypatch.setattr(trainer.means, name, lambda name=name: done.append(name))
    trainer.checked = 0.0

    def train_batch(inputs, targets):
        assert trainer.network.training
        assert trainer.evaluation is None
        done.append((len(targets), trainer.fraction))
        clock.now += 2

    trainer.network.eval()
    monkeypatch.setattr(trainer, "train_batch", train_batch)
    trainer.train_epoch()
    told = {"run": run, "epoch": 1, "batches": 3, "means": trainer.means}
    batches = []
    for number in range(3):
        batches += [(20, 1), "rate", ("batch_finished", {**told, "batch": number})]
    before = ["reset", "count_flops", (run.options.seed, "epoch 1")]
    after = ["meet", "masked", "restart", "join", "checked", ("same", trainer.network)]
    assert done == [*before, *batches, *after]
    assert trainer.pruner.step == 6
    assert trainer.training_flops == 1000 + 3 * 3 * 7 * 20
    assert (trainer.epoch_seconds, trainer.seconds["training"]) == (6, 106)
    assert not trainer.cut_short


def test_a_process_weighs_its_part_of_a_batch_and_resizes_what_grows(recorded, monkeypatch):
    (trainer, _), seen = recorded("--epochs 2", "count_flops"), []
    batches = SimpleNamespace(epoch=lambda number: iter([(torch.ones(5, 1, 8, 8), torch.zeros(5, dtype=torch.int64))]))
    monkeypatch.setattr(type(trainer.data.train), "shared", lambda self: batches)
    monkeypatch.setattr(trainer.schedule, "step", lambda: None)
    trainer.growing = SimpleNamespace(resized=lambda images, epoch: images[..., : 4 + 2 * epoch])
    monkeypatch.setattr(trainer, "train_batch", lambda inputs, targets: seen.append((inputs.shape, trainer.fraction)))
    trainer.train_epoch()
    trainer.epoch = 1
    trainer.train_epoch()
    assert seen == [((5, 1, 8, 4), 5 / 20), ((5, 1, 8, 6), 5 / 20)]


@pytest.mark.parametrize("flags", ["", "--channels_last"])
def test_batches_have_the_layout_that_is_asked_for(make_run, monkeypatch, flags):
    trainer, seen = DefaultTrainer(make_run(f"--data_set RUBBISH --model Conv6 --rubbish_images 20 {flags}")), []
    monkeypatch.setattr(trainer.schedule, "step", lambda: None)
    monkeypatch.setattr(trainer, "train_batch", lambda inputs, _: seen.append(inputs.is_contiguous()))
    trainer.train_epoch()
    assert seen == [not flags]


def test_what_is_known_of_the_network_is_forgotten_when_it_is_pruned(recorded, monkeypatch):
    trainer, done = recorded("--epochs 3", "count_flops")
    monkeypatch.setattr(trainer.pruner, "prune_as_planned", lambda: done.append("pruned"))
    trainer.save = lambda name, **metadata: done.append((name, metadata))
    trainer.slow = SimpleNamespace(restart=lambda: done.append("restart"))
    trainer.pruner.pruning_steps = {3: [0.5], 4: [0.5]}
    trainer.epoch, trainer.evaluation = 1, "old"
    trainer.pruner.step = 2
    trainer.prune_as_planned()
    assert (done, trainer.evaluation) == (["pruned"], "old")
    trainer.pruner.step = 3  # the second epoch begins
    trainer.prune_as_planned()
    assert done[1:] == [("LogisticRegression_epoch_1", {"epoch": 1}), "pruned", "count_flops", "restart"]
    assert trainer.evaluation is None
    trainer.pruner.step = 4  # in its midst
    trainer.prune_as_planned()
    assert done[5:] == ["pruned", "count_flops", "restart"]


def test_an_epoch_is_evaluated_and_saved_as_often_as_is_asked(recorded, monkeypatch):
    trainer, done = recorded("--epochs 9 --eval_freq 2 --save_freq 3", "evaluate")
    trainer.save = lambda name, **metadata: done.append((name, metadata))
    trainer.run.hooks = Told(done)
    monkeypatch.setattr(trainer, "figures", lambda: trainer.epoch)
    for trainer.epoch in (1, 2, 3, 6):
        trainer.conclude_epoch()
    told = {number: ("epoch_finished", {"run": trainer.run, "figures": number}) for number in (1, 2, 3, 6)}
    saved = {number: (f"LogisticRegression_epoch_{number}", {"epoch": number}) for number in (3, 6)}
    assert done == [told[1], "evaluate", told[2], told[3], saved[3], "evaluate", told[6], saved[6]]


def test_at_the_end_the_network_is_kept_without_gradients_and_leftovers_go(recorded, monkeypatch):
    trainer, done = recorded("--epochs 3")
    run = trainer.run
    for parameter in trainer.network.parameters():
        parameter.grad = torch.ones_like(parameter)

    def save(name, **metadata):
        assert all(parameter.grad is None for parameter in trainer.network.parameters())
        done.append((name, metadata))

    trainer.save, trainer.epoch = save, 3
    monkeypatch.setattr(trainer, "results", lambda: {"some": "figures"})
    monkeypatch.setattr(DefaultTrainer_module, "save_compact", lambda *told: done.append(told) or "compacted")
    for name in ("last.json", "last.safetensors", "other.json"):
        (run.folder.models / name).touch()
    assert trainer.conclude() == {"some": "figures", "compact": "compacted"}
    assert done[1] == (run, 3)
    name, metadata = done[0]
    assert (name, metadata["epoch"], metadata["figures"]["some"]) == ("LogisticRegression_finished", 3, "figures")
    assert [path.name for path in run.folder.models.iterdir()] == ["other.json"]
    assert run.notices == []


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ({}, ""),
        ({5: [0.5]}, ", with 1 pruning step still to come"),
        ({5: [0.5], 7: [0.5, 0.6]}, ", with 3 pruning steps still to come"),
    ],
)
def test_what_was_not_reached_is_said(recorded, monkeypatch, left, told):
    trainer, _ = recorded("--epochs 3 --no_compact", "save")
    monkeypatch.setattr(trainer, "results", dict)
    trainer.pruner.pruning_steps, trainer.epoch = left, 2
    assert trainer.conclude() == {"compact": None}
    assert trainer.run.notices == [f"stopped by --max_training_minutes in epoch 2 of 3{told}"]
