"""What a trainer keeps of itself, and takes up again."""

import random

import numpy as np
import pytest
import torch

from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training.resumable import random_state, set_random_state

COMMAND = "--model LogisticRegression --N 32 --batch_size 16 --epochs 3"


@pytest.fixture
def trainer(make_run):
    return lambda flags="": DefaultTrainer(make_run(f"{COMMAND} {flags}"))


@pytest.fixture
def states(monkeypatch):
    """The states that are written, by a trainer of whichever run."""
    found = []
    monkeypatch.setattr("secateur.training.resumable.write_state", lambda folder, state, **_: found.append(state))
    return found


def test_the_minutes_of_training_are_those_of_the_whole_run(trainer, states):
    first, second = trainer("--max_training_minutes 1000"), trainer("--max_training_minutes 1000")
    first.started -= 30_000
    first.epoch = 1
    first.save_state()
    (state,) = states
    assert state["seconds"] >= 30_000
    second.resume(state)
    assert not second.out_of_time()
    second.resume(state)  # twice 30,000 seconds are 1000 minutes
    assert second.out_of_time()
    second.run.resumed = {**state, "seconds": 60_001}
    assert second.train()["epochs"] == 1


def test_a_state_is_written_once_for_each_place_and_not_before_its_time(trainer, states):
    busy = trainer("--save_minutes 1000")
    busy.save_state()  # nothing was done yet
    assert states == []
    for busy.epoch, passed in ((1, 0), (2, 0), (3, 50_000), (4, 20_000), (5, 0)):
        busy.saved = busy.saved and busy.saved - passed
        busy.save_state()
    assert [state["epoch"] for state in states] == [1, 4]
    states.clear()
    eager = trainer("--save_minutes 0")
    for eager.epoch in (1, 1, 2):
        eager.save_state()
    assert [state["epoch"] for state in states] == [1, 2]
    eager.resume(states[-1])
    eager.save_state()  # it is there
    assert len(states) == 2


def test_the_scale_of_the_loss_and_the_means_so_far_go_on(trainer):
    first, second = trainer("--precision fp16"), trainer("--precision fp16")
    scaler = first.run.precision.scaler
    scaler.scale(torch.ones(1))
    scaler.update(8.0)
    first.means.add(torch.tensor(4.0), torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    first.means.add(torch.tensor(2.0), torch.eye(2)[[0, 0, 0]], torch.tensor([0, 1, 1]))
    second.load_state_dict(first.state_dict())
    assert second.run.precision.scaler.get_scale() == 8.0
    assert second.means.read() == {"loss": 2.5, "accuracy": 0.5}
    assert (second.means.samples, second.means.batches) == (4, 2)
    third = trainer("--precision fp16")
    second.load_state_dict(third.state_dict())
    assert (second.means.read(), second.means.samples) == ({"loss": 0.0, "accuracy": 0.0}, 0)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_of_another_kind_than_before_keeps_its_own_numbers(kind):
    expected = torch.rand(3, generator=torch.Generator().set_state(torch.get_rng_state()))
    state = random_state(torch.device("cpu"))
    torch.rand(1)
    set_random_state(state, torch.device(kind))  # and asks nothing of a device that may not be there
    assert torch.equal(torch.rand(3), expected)


def test_every_generator_goes_on_where_it_was():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    device = torch.device("cpu")
    draw()
    np.random.standard_normal()  # noqa: NPY002 - keeps the second of a pair for the next call
    state = random_state(device)
    expected = draw(), float(np.random.standard_normal())  # noqa: NPY002
    for other in range(3):
        random.seed(other), np.random.seed(other), torch.manual_seed(other)  # noqa: NPY002
        draw()
        set_random_state(state, device)
        assert (draw(), float(np.random.standard_normal())) == expected  # noqa: NPY002
