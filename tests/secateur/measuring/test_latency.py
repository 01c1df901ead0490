"""Medians by a clock that the test moves; what a run keeps of them."""

import pytest
import torch
from torch import nn

from secateur.measuring import latency
from secateur.measuring.latency import latencies, latency_figures, median_seconds


class Slow(nn.Module):
    """Takes so many seconds, call by call, of a clock that others read."""

    def __init__(self, now, durations):
        super().__init__()
        self.now, self.durations, self.calls = now, list(durations), []

    def forward(self, images):
        self.now[0] += self.durations[min(len(self.calls), len(self.durations) - 1)]
        self.calls.append((self.now[0], len(images), self.training, torch.is_grad_enabled()))
        return images


@pytest.fixture(autouse=True)
def _as_in_a_run(monkeypatch):
    monkeypatch.setattr(latency, "MOST_TIMES", 200)


def test_networks_take_turns_and_the_median_leaves_out_the_warm_up():
    now = [0.0]
    networks = {"a": Slow(now, [10, 1, 5, 3]), "b": Slow(now, [20, 2, 2, 8])}
    seconds = median_seconds(networks, torch.zeros(4, 1), budget=50.5, clock=lambda: now[0])
    # after warm-up 30, after the others 33, 40 and 51
    assert seconds == {"a": 3, "b": 2}
    assert [call[0] for call in networks["a"].calls] == [10, 31, 38, 43]
    assert [call[0] for call in networks["b"].calls] == [30, 33, 40, 51]
    assert all(call[1:] == (4, False, False) for call in networks["a"].calls)
    assert networks["a"].training


def test_a_turn_that_uses_up_the_budget_is_the_only_one():
    now = [0.0]
    assert median_seconds({"a": Slow(now, [2])}, torch.zeros(1), budget=1, clock=lambda: now[0]) == {"a": 2}


def test_slow_networks_take_as_many_turns_as_are_asked_for():
    now = [0.0]
    networks = {"a": Slow(now, [20, 4, 1, 2]), "b": Slow(now, [10, 2, 3, 6])}
    seconds = median_seconds(networks, torch.zeros(1), budget=1, clock=lambda: now[0], least=3)
    assert seconds == {"a": 2, "b": 3}
    assert [len(network.calls) for network in networks.values()] == [4, 4]


def test_quick_networks_are_not_measured_for_ever(monkeypatch):
    monkeypatch.setattr(latency, "MOST_TIMES", 5)
    network = Slow([0.0], [0])
    median_seconds({"a": network}, torch.zeros(1), clock=lambda: 0.0)
    assert len(network.calls) == 6


def test_a_run_measures_the_network_and_the_dense_one(make_run, monkeypatch):
    asked = []

    def measured(networks, images, _budget):
        asked.append((networks, images.shape))
        return {"latency_ms": 0.001, "latency_dense_ms": 0.004}

    monkeypatch.setattr(latency, "median_seconds", measured)
    run = make_run("--model LeNet300 --prune_criterion SNAP")
    run.criterion.prune(0.9, list(run.data.train)[:1])
    figures = latency_figures(run)
    assert figures == {
        "latency_ms_batch_1": 1.0,
        "latency_dense_ms_batch_1": 4.0,
        "latency_ms_batch_64": 1.0,
        "latency_dense_ms_batch_64": 4.0,
    }
    (networks, one), (_, many) = asked
    assert (one, many) == ((1, 1, 8, 8), (64, 1, 8, 8))
    outputs = {name: network.features[1].out_features for name, network in networks.items()}
    assert outputs["latency_dense_ms"] == 300 > outputs["latency_ms"]


def test_a_batch_that_takes_too_long_is_left_out(make_run, monkeypatch):
    monkeypatch.setattr(latency, "median_seconds", lambda networks, *_: dict.fromkeys(networks, 1.0))
    figures = latency_figures(make_run("--model LeNet300"))
    assert figures["latency_ms_batch_1"] == 1000
    assert figures["latency_ms_batch_64"] is figures["latency_dense_ms_batch_64"] is None


def test_how_long_a_batch_would_take_is_reckoned_by_the_image(make_run, monkeypatch):
    asked = []

    def measured(networks, images, _budget):
        asked.append(len(images))
        return dict(zip(networks, (0.01 * len(images), 0.05 * len(images)), strict=True))

    monkeypatch.setattr(latency, "median_seconds", measured)
    run = make_run("--model LeNet300")
    found = latencies(run, {"quick": run.network, "slow": run.network}, (300, 100, 199))
    # the slower takes 0.05 s an image: 199 are done in less than 10 s, 300 are not
    assert asked == [100, 199]
    assert found[199] == {"quick": pytest.approx(1990), "slow": pytest.approx(9950)}
    assert found[300] == {"quick": None, "slow": None}


@pytest.mark.parametrize(("device", "waited"), [("cuda:1", ["cuda:1"]), ("mps", ["mps"]), ("cpu", [])])
def test_the_clock_is_read_when_the_device_has_done_its_work(monkeypatch, device, waited):
    done = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: done.append(str(device)))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: done.append("mps"))
    latency._wait(torch.device(device))
    assert done == waited


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_an_accelerator_is_waited_for():
    layer = nn.Linear(4096, 4096, device="cuda")
    deep = nn.Sequential(*[layer] * 50)
    images = torch.rand(4096, 4096, device="cuda")
    # 50 products of 137 GFLOPs: none does that in 1 ms, but all are started in less
    assert median_seconds({"deep": deep}, images)["deep"] > 1e-3
