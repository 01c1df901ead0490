"""How CPUs are set up, and from which gain on bf16 is chosen."""

import os
import random
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from secateur.training import means as means_module
from secateur.training import precision
from secateur.training.means import RunningMeans
from secateur.training.optimizers import clip_norm


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_freed_memory_is_kept_for_the_next_step(monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "_mallopt", lambda name, value: asked.append((name, value)))
    monkeypatch.setattr(precision, "use_onednn_products", lambda wanted: asked.append(wanted))
    precision.tune_cpu()
    # M_MMAP_THRESHOLD is -3 in malloc.h, M_TRIM_THRESHOLD -1
    assert asked == [(-3, 2_147_483_647), (-1, 2_147_483_647), True]
    asked.clear()
    monkeypatch.setattr(precision.sys, "platform", "darwin")
    precision.tune_cpu()
    precision.spare_memory(torch.nn.Linear(10_000, 6_000, device="meta"))
    assert asked == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
@pytest.mark.parametrize(("width", "asked"), [(9_999, []), (10_000, [(-3, 8_388_608)])])
def test_weights_are_large_above_two_hundred_megabytes(monkeypatch, width, asked):
    found = []
    monkeypatch.setattr(precision, "_mallopt", lambda name, value: found.append((name, value)))
    precision.spare_memory(torch.nn.Linear(width, 5_000, device="meta"))  # of 4 bytes; the first has 50,000,000
    assert found == asked


def test_a_library_without_such_settings_is_left_alone(monkeypatch):
    asked = []
    library = SimpleNamespace(mallopt=lambda name, value: asked.append((name, value)))
    monkeypatch.setattr(precision.ctypes, "CDLL", lambda name: library)
    precision._mallopt(-3, 5)
    monkeypatch.setattr(precision.ctypes, "CDLL", lambda name: SimpleNamespace())
    precision._mallopt(-3, 7)
    assert asked == [(-3, 5)]


@pytest.mark.parametrize(
    ("float32", "expected"), [(1.15, ("bf16", "1.1")), (1.1499, ("float32", "1.1")), (2.34, ("bf16", "2.3"))]
)
def test_bf16_is_chosen_from_a_gain_of_fifteen_per_cent_on(monkeypatch, float32, expected):
    monkeypatch.setattr(precision, "_has_bf16", lambda: True)
    monkeypatch.setattr(precision, "_trial_times", lambda: {"float32": float32, "bf16": 1.0})
    chosen, gain = expected
    line = f"a trial convolution takes bf16 1/{gain} of float32's time"
    assert precision.choose_precision(torch.device("cpu"), "dense") == (chosen, line)


def test_seven_of_eight_turns_of_the_trial_count_and_the_middle_one_is_taken(monkeypatch):
    taken = [100, 3, 1, 6, 2, 7, 4, 5]  # of float32; bf16 takes ten times as long
    clock, now = [], 0
    for seconds in taken:
        for factor in (1, 10):
            clock += [now, now + factor * seconds]
            now += 1000
    clock = iter(clock)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(precision, "TRIAL", (1, 2, 3, 3))
    seen, forward = [], torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *of: seen.append(of[1].shape) or forward(*of))
    assert precision._trial_times() == {"float32": 4, "bf16": 40}
    assert next(clock, None) is None
    assert seen == [(1, 2, 3, 3)] * 16


@pytest.mark.parametrize(
    ("deterministic", "disabled", "benchmark"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
)
def test_torch_is_set_up_as_the_machine_options_say(monkeypatch, deterministic, disabled, benchmark):
    asked = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(precision, "tune_cpu", lambda: asked.append("tuned"))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
    machine = SimpleNamespace(deterministic=deterministic, disable_cuda_benchmark=disabled, device="cpu")
    found = []
    for _ in range(2):
        assert precision.prepare_torch(7, machine) == torch.device("cpu")
        found.append((random.random(), np.random.rand(), float(torch.rand(1))))  # noqa: NPY002
    assert found[0] == found[1] == (random.Random(7).random(), np.random.RandomState(7).rand(), found[0][2])
    assert float(torch.rand(1, generator=torch.Generator().manual_seed(7))) == found[0][2]
    assert torch.backends.cudnn.benchmark is benchmark
    assert asked == ([True, "tuned"] * 2 if deterministic else ["tuned"] * 2)
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None) == (":4096:8" if deterministic else None)


def test_the_means_of_several_processes_are_of_all_their_images(monkeypatch):
    means = RunningMeans()
    means.join()  # of nothing
    for loss, size in ((4.0, 1), (1.0, 2)):
        means.add(torch.tensor(loss), torch.tensor([[0.0, 1.0]] * size), torch.tensor([1] * size))
    means.join()  # of one process
    assert (means.samples, means.read()) == (3, {"loss": 2.0, "accuracy": 1.0})
    monkeypatch.setattr(means_module, "size", lambda: 2)
    other = ([3, 0], [torch.tensor([False, False, True]), torch.tensor([], dtype=torch.bool)])
    monkeypatch.setattr(means_module, "gathered", lambda own: [own, other])
    means.join()
    # four images of loss 4, and two of loss 1; of the other's three one is right
    assert (means.samples, means.read()) == (6, {"loss": 3.0, "accuracy": pytest.approx(4 / 6)})
    assert means.state_dict()["sizes"] == [4, 2]
    assert means.state_dict()["correct"].tolist() == [True, False, False, True, True, True]
    means.reset()
    means.join()
    assert means.batches == 0


def test_a_norm_is_clipped_with_a_millionth_to_spare():
    gradients = [torch.tensor([3e-6, 4e-6], dtype=torch.float64)]
    clip_norm(gradients, 3e-6)
    assert gradients[0].tolist() == pytest.approx([1.5e-6, 2e-6])
