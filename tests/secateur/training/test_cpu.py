import sys

import pytest
import torch

from secateur.training import precision


@pytest.fixture(autouse=True)
def _as_before():
    yield
    precision.use_onednn_products(False)


def test_onednn_is_asked_for_at_the_start(monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "use_onednn_products", asked.append)
    precision.tune_cpu()
    assert asked == [True]


def test_products_stay_exact_to_float32():
    precision.tune_cpu()
    left, right = torch.randn(512, 784), torch.randn(784, 300)
    exact = left.double() @ right.double()
    assert ((left @ right).double() - exact).abs().max() / exact.abs().max() < 1e-5


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="torch 2.9 and newer have the setting")
def test_onednn_multiplies_where_that_is_exact_until_it_is_no_longer_wanted(monkeypatch):
    monkeypatch.setattr(precision, "products_are_exact", lambda: True)
    assert precision.use_onednn_products(True) is True
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    assert precision.use_onednn_products(False) is False
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_where_they_would_not_be_the_setting_is_taken_back(monkeypatch):
    monkeypatch.setattr(precision, "products_are_exact", lambda: False)
    assert precision.use_onednn_products(True) is False
    if hasattr(torch.backends.mkldnn.matmul, "fp32_precision"):
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_reduced_precision_would_be_noticed(monkeypatch):
    matmul = torch.Tensor.__matmul__

    def rounded(left, right):
        if left.dtype is torch.float32:
            return matmul(left.bfloat16(), right.bfloat16()).float()
        return matmul(left, right)

    assert precision.products_are_exact()
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not precision.products_are_exact()


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
@pytest.mark.parametrize(("width", "set_to"), [(7000, [2**23]), (7, [])])
def test_large_blocks_are_handed_back_where_the_weights_are_large(monkeypatch, width, set_to):
    found = []
    monkeypatch.setattr(precision, "_mallopt", lambda name, value: found.append((name, value)))
    precision.spare_memory(torch.nn.Linear(width, width + 200, device="meta"))
    assert [value for _, value in found] == set_to
    assert {name for name, _ in found} <= {-3}  # M_MMAP_THRESHOLD of malloc.h
