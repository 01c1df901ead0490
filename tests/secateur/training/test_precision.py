import pytest
import torch

from secateur.training import precision
from secateur.training.precision import Precision, choose_device
from secateur.utils.errors import UserError


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
