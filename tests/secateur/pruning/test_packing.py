"""Packed tensors are smaller and come back equal; damaged ones are refused."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.models.LeNet300 import LeNet300
from secateur.pruning.masks import RECORD, pack, unpack
from secateur.runs.checkpoint import read_tensors, write_tensors


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([(40, 60), (7, 3, 3, 40), (5000,), (3,), (0, 4), ()]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    st.integers(0, 100),
)
def test_what_is_packed_comes_back_equal(shape, density, kind, seed):
    torch.manual_seed(seed)
    mask = torch.rand(shape) < density
    weight = torch.randn(shape).to(kind) * mask
    other = torch.randn(shape).to(kind) * (torch.rand(shape) < 0.1)
    tensors = {
        "a.weight": weight,
        "b.weight": other,
        "masks/a": mask,
        "whole": torch.arange(3000),
        "bias": torch.ones(3),
    }
    packed, head = pack(tensors)
    found = unpack(packed, head)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_mask_costs_a_bit_and_is_shared_by_weight_and_moments():
    mask = torch.zeros(800, 1000, dtype=torch.bool)
    mask.view(-1)[::50] = True
    weight = torch.randn(800, 1000) * mask
    weight[0, 0] = 0  # kept, and zero all the same
    packed, _ = pack({"weight": weight, "masks/": mask, "moment": weight * 2})
    assert sum(tensor.numel() * tensor.element_size() for tensor in packed.values()) == 100_000 + 2 * 64_000
    assert not pack({"weight": torch.randn(100, 100)})[1]


def test_numbers_that_are_none_are_no_zeros():
    tensors = {"weight": torch.full((5000,), torch.nan), "masks/": torch.zeros(5000, dtype=torch.bool)}
    packed, head = pack(tensors)
    assert unpack(packed, head)["weight"].isnan().all()


def test_a_pruned_checkpoint_is_small_and_loads(tmp_path):
    network = LeNet300((1, 28, 28), 10)
    secateur.save(network, tmp_path / "dense")
    secateur.prune(
        network, "UnstructuredRandom", sparsity=0.98, outer_layer_pruning=True, example=torch.rand(1, 1, 28, 28)
    )
    secateur.save(network, tmp_path / "sparse")
    sizes = {name: (tmp_path / f"{name}.safetensors").stat().st_size for name in ("dense", "sparse")}
    assert sizes["dense"] > 15 * sizes["sparse"]
    loaded = secateur.load(tmp_path / "sparse", LeNet300((1, 28, 28), 10))
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize(
    "change",
    [
        {"bits": "nowhere"},
        {"shape": [40, 601]},
        {"shape": [-40, -600]},
        {"shape": "40"},
        {"values": "bias"},
        {"values": "weight/bits"},
    ],
)
def test_a_record_that_does_not_fit_is_refused(tmp_path, change, monkeypatch):
    tensors = {"weight": torch.eye(40, 600), "bias": torch.ones(3)}
    packed, head = pack(tensors)
    record = json.loads(head[RECORD])
    record["weight"] |= change
    with pytest.raises(ValueError, match=r"fit|values|bits"):
        unpack(packed, {RECORD: json.dumps(record)})
    monkeypatch.setattr("secateur.runs.checkpoint.pack", lambda _: (packed, {RECORD: json.dumps(record)}))
    write_tensors(tmp_path / "damaged", tensors, {})
    with pytest.raises(secateur.UserError, match=r"damaged\.safetensors cannot be read"):
        read_tensors(tmp_path / "damaged", {})
