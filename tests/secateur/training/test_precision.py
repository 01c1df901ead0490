import pytest
import torch

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


def test_autocast_computes_in_the_type_asked_for():
    layer, inputs = torch.nn.Linear(4, 4), torch.zeros(1, 4)
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        with Precision(name, torch.device("cpu")).autocast():
            assert layer(inputs).dtype is kind


def test_bf16_on_a_cpu_without_it_is_warned_of(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert "many times slower" in Precision("bf16", torch.device("cpu")).warning()
    assert Precision("float32", torch.device("cpu")).warning() is None
