"""What is measured by the clock and how often: what the device waits for, layouts, limits."""

import runpy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secateur.measuring import latency
from secateur.measuring.latency import dense_network, latencies, median_seconds, prepare


class Told(nn.Module):
    """Tells of each batch that it is given."""

    def __init__(self, told, chooses=False):
        super().__init__()
        self.told = told
        if chooses:
            self.choices = {}

    def forward(self, images):
        self.told.append(("run", tuple(images.shape), self.training, torch.is_grad_enabled()))
        return images


def made_up(channels_last=False):
    """A run of images of three channels, whose dense network is a convolution of so many outputs as the seed."""
    return SimpleNamespace(
        example=torch.zeros(1, 3, 4, 4),
        device=torch.device("cpu"),
        machine=SimpleNamespace(channels_last=channels_last),
        precision=SimpleNamespace(autocast=lambda: torch.autocast("cpu", torch.bfloat16)),
        options=SimpleNamespace(seed=5),
        fresh_network=lambda seed: nn.Conv2d(3, seed, 2),
    )


def test_the_device_has_nothing_left_to_do_whenever_the_clock_is_read(monkeypatch):
    told, images = [], torch.zeros(2, 1)
    monkeypatch.setattr(latency, "_wait", lambda device: told.append(("wait", device)))

    def clock():
        told.append("clock")
        return 5.0 * len(told)

    median_seconds({"a": Told(told)}, images, budget=1, clock=clock)
    wait, run = ("wait", images.device), ("run", (2, 1), False, False)
    assert told == ["clock", wait, "clock", run, wait, "clock", "clock"]


def test_turns_go_on_until_the_budget_is_exceeded_which_is_a_second(monkeypatch):
    monkeypatch.setattr(latency, "MOST_TIMES", 200)
    told, now = [], [0.0]

    class Slow(Told):
        def forward(self, images):
            now[0] += 0.5
            return super().forward(images)

    assert median_seconds({"a": Slow(told)}, torch.zeros(1), budget=2, clock=lambda: now[0]) == {"a": 0.5}
    assert len(told) == 5
    told.clear()
    median_seconds({"a": Slow(told)}, torch.zeros(1), clock=lambda: now[0])
    assert len(told) == 3


def test_a_network_that_takes_no_time_is_run_two_hundred_times_after_the_warm_up():
    told = []
    # As it is outside the tests, which set a limit of their own.
    runpy.run_path(latency.__file__)["median_seconds"]({"a": Told(told)}, torch.zeros(1), clock=lambda: 0.0)
    assert len(told) == 201


def test_a_network_that_chooses_how_it_is_run_does_so_before_the_clock_is_read(monkeypatch):
    told = []

    def measured(networks, images, budget):
        told.append(("measured", list(networks), budget, torch.is_autocast_enabled("cpu")))
        return dict.fromkeys(networks, 0.001)

    monkeypatch.setattr(latency, "median_seconds", measured)
    networks = {"plain": Told(told), "chooses": Told(told, chooses=True)}
    assert latencies(made_up(), networks, [2]) == {2: {"plain": 1.0, "chooses": 1.0}}
    # For a second, in the run's precision
    assert told == [("run", (2, 3, 4, 4), False, False), ("measured", ["plain", "chooses"], 1.0, True)]
    assert networks["chooses"].training


def test_choosing_takes_no_gradients():
    told = []
    prepare(Told(told, chooses=True), torch.zeros(1))
    assert told == [("run", (1,), False, False)]


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_and_the_dense_network_are_laid_out_as_the_run_says(monkeypatch, channels_last):
    given = []
    monkeypatch.setattr(
        latency, "median_seconds", lambda networks, images, _: given.append(images) or dict.fromkeys(networks, 1.0)
    )
    run = made_up(channels_last)
    network = dense_network(run)
    latencies(run, {"dense": network}, [2])
    assert network.weight.shape == (5, 3, 2, 2)
    for tensor in (given[0], network.weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert tensor.is_contiguous() == (not channels_last)


def test_a_batch_of_ten_seconds_is_left_out(monkeypatch):
    asked = []
    monkeypatch.setattr(
        latency, "median_seconds", lambda networks, images, _: asked.append(len(images)) or dict.fromkeys(networks, 1.0)
    )
    found = latencies(made_up(), {"a": nn.Identity()}, [10, 1, 9])
    # 1 second an image; then, of nine in a second, ten take little more than that
    assert asked == [1, 9, 10]
    asked.clear()
    found = latencies(made_up(), {"a": nn.Identity()}, [10, 1])
    assert asked == [1]
    assert found == {1: {"a": 1000.0}, 10: {"a": None}}
