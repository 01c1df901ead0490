"""Networks that torch.nn.utils.prune has pruned are loaded as the products that they compute with."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from secateur.models.LeNet300 import LeNet300
from secateur.runs.external_weights import load_external
from secateur.utils.errors import UserError


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def load(path, state, into, *, partial=False):
    """Save a state and load it into a network; returns the lines."""
    torch.save(state, path)
    return load_external(path, into, partial=partial)


@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_a_pruned_network_is_loaded_with_its_zeros(tmp_path, prefix):
    torch.manual_seed(1)
    theirs, path, fresh = network(), tmp_path / "other.ckpt", network()
    prune.random_unstructured(theirs[0], "weight", 5)
    prune.random_unstructured(theirs[2], "bias", 1)
    prune.random_unstructured(theirs[2], "weight", 3)
    lines = load(path, {prefix + name: tensor for name, tensor in theirs.state_dict().items()}, fresh)
    names = ", ".join(prefix + name for name in ("0.weight", "2.weight", "2.bias"))
    assert lines[:2] == [
        f"9 of 9 tensors loaded from {path}",
        f"3 tensors in other.ckpt were multiplied by their masks ({names})",
    ]
    assert [int((tensor == 0).sum()) for tensor in (fresh[0].weight, fresh[2].weight, fresh[2].bias)] == [5, 3, 1]
    assert not fresh[0].weight[fresh[0].weight == 0].signbit().any()
    for layer, of in ((0, "weight"), (2, "weight"), (2, "bias")):
        assert torch.equal(getattr(fresh[layer], of), getattr(theirs[layer], of))
    images = torch.randn(5, 3)
    assert torch.equal(fresh.eval()(images), theirs.eval()(images))


DTYPES = ["bool", "uint8", "int64", "uint16", "float16", "bfloat16", "float32", "float64", "float8_e4m3fn"]


@pytest.mark.parametrize("mask_type", DTYPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_masks_and_weights_of_every_type_are_multiplied(tmp_path, mask_type, dtype):
    into = nn.Linear(3, 2, bias=False)
    original = torch.tensor([[1.5, -2.0, 0.25], [-1.0, float("inf"), 3.0]])
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]).to(getattr(torch, mask_type))
    load(tmp_path / "other.pth", {"weight_mask": mask, "weight_orig": original.to(dtype)}, into)
    assert torch.equal(into.weight, torch.tensor([[1.5, 0.0, 0.25], [0.0, 0.0, 3.0]]))


def test_a_soft_mask_multiplies_as_torch_does(tmp_path):
    into, original, mask = nn.Linear(30, 20, bias=False), torch.randn(20, 30), torch.rand(20, 30)
    load(tmp_path / "other.pth", {"weight_orig": original, "weight_mask": mask}, into)
    assert torch.equal(into.weight, original * mask)


@pytest.mark.parametrize(
    ("halves", "unknown"),
    [
        ({"weight_orig": torch.ones(2, 3)}, "1 (weight_orig)"),
        ({"weight_mask": torch.ones(2, 3)}, "1 (weight_mask)"),
        ({"weight_orig": torch.ones(2, 3), "weight_mask": torch.ones(3)}, "2 (weight_orig, weight_mask)"),
    ],
)
def test_a_half_and_a_mask_of_another_shape_are_unknown(tmp_path, halves, unknown):
    path, into = tmp_path / "other.pth", nn.Linear(3, 2)
    before = into.weight.clone()
    with pytest.raises(UserError, match=r"1 missing \(weight\)"):
        load(path, {"bias": torch.ones(2)} | halves, into)
    assert load(path, {"bias": torch.ones(2)} | halves, into, partial=True) == [
        f"1 of 2 tensors loaded from {path}",
        "missing in other.pth, left at their initialisation: 1 (weight)",
        f"unknown in other.pth, not loaded: {unknown}",
    ]
    assert torch.equal(into.weight, before)


def test_a_weight_beside_its_halves_is_the_weight(tmp_path):
    path, into = tmp_path / "other.pth", nn.Linear(3, 2, bias=False)
    state = {"weight": torch.ones(2, 3), "weight_orig": torch.zeros(2, 3), "weight_mask": torch.zeros(2, 3)}
    assert load(path, state, into)[1:] == ["unknown in other.pth, not loaded: 2 (weight_orig, weight_mask)"]
    assert torch.equal(into.weight, torch.ones(2, 3))


def test_a_network_that_is_pruned_itself_takes_the_halves_as_they_are(tmp_path):
    theirs, ours = nn.Linear(3, 2), nn.Linear(3, 2)
    for layer in (theirs, ours):
        prune.random_unstructured(layer, "weight", 2)
    assert load(tmp_path / "other.pth", theirs.state_dict(), ours) == [
        f"3 of 3 tensors loaded from {tmp_path / 'other.pth'}"
    ]
    assert torch.equal(ours.weight_orig, theirs.weight_orig)
    assert torch.equal(ours.weight_mask, theirs.weight_mask)


@pytest.mark.parametrize("both", [False, True])
def test_a_pruned_network_of_other_names_is_taken_in_order(tmp_path, both):
    layers = {"fc1": nn.Linear(64, 300), "fc2": nn.Linear(300, 100), "fc3": nn.Linear(100, 10)}
    theirs = nn.Sequential(OrderedDict(layers))
    for layer in theirs:
        prune.l1_unstructured(layer, "weight", 0.9)
        if both:
            prune.l1_unstructured(layer, "bias", 0.5)
    fresh = LeNet300((1, 8, 8), 10)
    lines = load(tmp_path / "other.pth", theirs.state_dict(), fresh)
    assert lines[1].startswith(f"{6 if both else 3} tensors in other.pth were multiplied by their masks (fc1.weight, ")
    assert lines[2].endswith(
        "fc1.weight -> features.1.weight, fc1.bias -> features.1.bias, fc2.weight -> features.3.weight and 3 more"
    )
    for ours, name in ((fresh.features[1], "fc1"), (fresh.features[3], "fc2"), (fresh.classifier, "fc3")):
        assert torch.equal(ours.weight, layers[name].weight)
        assert torch.equal(ours.bias, layers[name].bias)


def test_halves_that_claim_a_great_shape_are_refused_without_being_multiplied(tmp_path):
    great = torch.zeros(1).expand(10**6, 10**7)  # one number on disk, 80 terabytes as a product
    with pytest.raises(UserError, match=r"of another shape \(weight \(1000000, 10000000\), here \(2, 3\)\)"):
        load(tmp_path / "other.pth", {"weight_orig": great, "weight_mask": great}, nn.Linear(3, 2, bias=False))
