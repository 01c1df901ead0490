import json

import pytest
import torch

from secateur.training import precision
from secateur.training.precision import Precision, choose_device
from secateur.utils.errors import UserError
from tests.commands import QUICK


def test_auto_takes_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="--device cuda:3"):
        choose_device("cuda:3")
    with pytest.raises(UserError, match="--device mps"):
        choose_device("mps")


@pytest.mark.parametrize(
    ("name", "cuda", "several", "found"),
    [
        ("auto", 2, False, "cuda"),
        ("auto", 2, True, "cuda:1"),
        ("auto", 0, True, "cpu"),
        ("cuda", 2, False, "cuda"),
        ("cuda", 2, True, "cuda:1"),
        ("cuda:1", 2, False, "cuda:1"),
        ("cuda:2", 2, False, "sees 2 CUDA devices"),
        ("cuda", 0, False, "sees 0 CUDA devices"),
        ("cuda", 0, True, "sees 0 CUDA devices"),
        ("cuda", 1, True, "sees 1 CUDA devices"),
        ("cuda:1", 2, True, "torchrun gives each process its device"),
        ("mps", 0, True, "torchrun gives each process its device"),
        ("mps", 0, False, "sees no Apple GPU"),
        ("cpu", 2, False, "cpu"),
        ("cpu", 2, True, "cpu"),
    ],
)
def test_devices_of_one_process_and_of_the_second_of_several(monkeypatch, name, cuda, several, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(precision, "one_of_several", lambda: several)
    monkeypatch.setattr(precision, "local_number", lambda: 1)
    if " " in found:
        with pytest.raises(UserError, match=found):
            choose_device(name)
    else:
        assert choose_device(name) == torch.device(found)


def test_an_apple_gpu_is_taken_by_one_process_and_not_by_several(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("mps") == torch.device("mps")
    monkeypatch.setattr(precision, "one_of_several", lambda: True)
    assert choose_device("auto") == torch.device("cpu")


def test_autocast_computes_in_the_type_asked_for():
    layer, inputs = torch.nn.Linear(4, 4), torch.zeros(1, 4)
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        found = Precision(name, torch.device("cpu"))
        assert found.scaler.is_enabled() == (name == "fp16")
        with found.autocast():
            assert layer(inputs).dtype is kind


def test_bf16_on_a_cpu_without_it_is_warned_of(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert "many times slower" in Precision("bf16", torch.device("cpu")).warning()
    assert Precision("float32", torch.device("cpu")).warning() is None
    assert "meant for GPUs" in Precision("fp16", torch.device("cpu")).warning()
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert Precision("bf16", torch.device("cpu")).warning() is None
    assert [Precision(name, torch.device("meta")).warning() for name in ("fp16", "bf16")] == [None, None]


@pytest.mark.parametrize(
    ("device", "execution", "has", "times", "expected", "said"),
    [
        ("cpu", "dense", True, {"float32": 2.0, "bf16": 1.0}, "bf16", "1/2.0 of float32's time"),
        ("cpu", "dense", True, {"float32": 1.1, "bf16": 1.0}, "float32", "1/1.1 of float32's time"),
        ("cpu", "dense", False, None, "float32", "this CPU has no instructions"),
        ("cpu", "sparse", True, None, "float32", "--execution sparse skips zeros in float32"),
        ("mps", "dense", True, None, "float32", "not tried on mps"),
        ("cuda:0", "dense", True, None, "bf16", "cuda:0 computes in it"),
        ("cuda:0", "dense", False, None, "float32", "cuda:0 has no instructions"),
    ],
)
def test_auto_takes_bf16_where_a_trial_is_faster(monkeypatch, device, execution, has, times, expected, said):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    monkeypatch.setattr(precision, "_trial_times", lambda: times)
    found, reason = precision.choose_precision(torch.device(device), execution)
    assert found == expected
    assert said in reason


def test_the_trial_draws_no_random_numbers_and_times_both():
    before = torch.get_rng_state()
    assert set(precision._trial_times()) == {"float32", "bf16"}
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("faster", ["bf16", "float32"])
def test_what_auto_took_is_recorded(run, monkeypatch, faster):
    times = {"float32": 1.0, "bf16": 1.0, faster: 0.1}
    monkeypatch.setattr(precision, "_trial_times", lambda: times)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    found = run(f"--model LeNet300 --data_set DIGITS --N 64 --epochs 1 --precision auto {QUICK}")
    assert found.status == 0
    recorded = json.loads((found.folder / "output" / "arguments.json").read_text())
    assert recorded["precision"] == faster
    assert any(notice.startswith(f"--precision auto: {faster}, as ") for notice in found.results["notices"])
