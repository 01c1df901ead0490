"""States on disk: what they hold, how many are kept, and which is read; and what a checkpoint takes of a network."""

import json

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from secateur.pruning.masks import Masks
from secateur.runs import checkpoint as module
from secateur.runs.checkpoint import (
    _decoded,
    _unshared,
    check_header,
    read_last_state,
    read_tensors,
    restore_checkpoint,
    save_checkpoint,
    write_state,
    write_tensors,
)
from secateur.runs.checkpoint_metadata import Checkpoint
from secateur.runs.files import read_checksummed
from secateur.utils.errors import UserError

CPU = torch.device("cpu")


def test_a_tree_comes_back_with_its_kinds_its_order_and_its_keys(tmp_path):
    tree = {
        "b": {2: [1, 2.5, True, None, "é"], (1, "x"): (), None: {}},
        "a": [torch.arange(3), (torch.tensor(True), torch.tensor([0.1], dtype=torch.bfloat16))],
    }
    write_state(tmp_path / "state", tree, epoch=3)
    assert read_checksummed(tmp_path / "state" / "state_000001.json").keys() == {"format", "crc32", "epoch"}
    found, problems = read_last_state(tmp_path / "state", CPU)
    assert problems == []
    assert found["b"] == tree["b"]
    assert (list(found), list(found["b"]), type(found["b"][2][2])) == (["b", "a"], [2, (1, "x"), None], bool)
    assert found["a"][0].tolist() == [0, 1, 2]
    assert type(found["a"][1]) is tuple
    assert (found["a"][1][0].dtype, found["a"][1][1].dtype) == (torch.bool, torch.bfloat16)
    with pytest.raises(TypeError, match=r"^a state holds a set, which is not numbers, text or tensors$"):
        write_state(tmp_path / "state", {"a": {1}})


def test_images_keep_their_layout_and_others_theirs(tmp_path):
    image = torch.randn(2, 3, 4, 5)
    tree = {
        "last": image.to(memory_format=torch.channels_last),
        "first": image,
        "both": torch.randn(2, 1, 4, 5),
        "neither": image.permute(3, 2, 1, 0),
        "three": torch.randn(3, 4, 5).permute(1, 2, 0),
        "five": torch.randn(1, 2, 3, 4, 5).to(memory_format=torch.channels_last_3d),
    }
    write_state(tmp_path, tree)
    found, _ = read_last_state(tmp_path, CPU)
    assert all(found[name].equal(tensor) for name, tensor in tree.items())
    plain = {name: found[name].is_contiguous() for name in tree}
    assert plain == {**dict.fromkeys(tree, True), "last": False}
    assert found["last"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("tensor", "on_cpu", "place"),
    [(torch.tensor(3.0), True, "cpu"), (torch.tensor(3.0), False, "meta"), (torch.ones(2), True, "meta")],
)
def test_a_single_number_that_was_on_the_cpu_stays_there(tensor, on_cpu, place):
    found = _decoded({"tensor": "0", "on_cpu": on_cpu, "channels_last": False}, {"0": tensor}, torch.device("meta"))
    assert found.device.type == place


@pytest.mark.parametrize("last", [True, False])
def test_a_tensor_has_memory_of_its_own_and_the_layout_that_was_said(last):
    tensor = torch.randn(2, 3, 4, 5)
    found = _decoded({"tensor": "0", "on_cpu": True, "channels_last": last}, {"0": tensor}, CPU)
    assert found.data_ptr() != tensor.data_ptr()
    assert found.is_contiguous() != last
    turned = tensor.to(memory_format=torch.channels_last)
    assert _decoded({"tensor": "0", "on_cpu": True, "channels_last": False}, {"0": turned}, CPU).is_contiguous()


def test_the_last_two_are_kept_and_nothing_else(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for epoch in range(4):
        write_state(tmp_path, {"epoch": epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"state_00000{number}.{ending}" for number in (3, 4) for ending in ("json", "safetensors")
    ]
    assert read_last_state(tmp_path, CPU) == ({"epoch": 3}, [])
    write_state(tmp_path / "new", {})
    assert read_last_state(tmp_path / "new", CPU) == ({}, [])


def test_of_states_that_cannot_be_read_each_is_told_the_last_first(tmp_path):
    assert read_last_state(tmp_path / "nowhere", CPU) == (None, [])
    for epoch in range(2):
        write_state(tmp_path, {"epoch": epoch})
    last, first = tmp_path / "state_000002.json", tmp_path / "state_000001.json"
    last.write_text("{}")
    line = f"the state {last} cannot be read: KeyError: 'format'"
    assert read_last_state(tmp_path, CPU) == ({"epoch": 0}, [line])
    first.unlink()
    with pytest.raises(UserError) as caught:
        read_last_state(tmp_path, CPU)
    assert str(caught.value) == f"no saved state is intact: {line}"
    write_tensors(tmp_path / "state_000003", {}, {"format": 2}, {"tree": "[1]"})
    line = f"the state {tmp_path}/state_000003.json cannot be read: ValueError: it holds no dictionary but list"
    with pytest.raises(UserError, match=line):
        read_last_state(tmp_path, CPU)


def test_a_file_may_be_as_large_as_memory_and_no_larger(tmp_path, monkeypatch):
    write_tensors(tmp_path / "x", {"a": torch.ones(3)}, {})
    size = (tmp_path / "x.safetensors").stat().st_size
    monkeypatch.setattr(module, "free_memory", lambda device: size)
    assert read_tensors(tmp_path / "x", {})["a"].tolist() == [1, 1, 1]
    monkeypatch.setattr(module, "free_memory", lambda device: size - 1)
    with pytest.raises(UserError, match=f": it holds {size} bytes, and {size - 1} bytes of memory are free$"):
        read_tensors(tmp_path / "x", {})


@pytest.mark.parametrize(("claimed", "refused"), [(17, True), (25, True), (26, False)])
def test_a_header_is_looked_at_as_far_as_the_file_goes(tmp_path, claimed, refused):
    text = b'{"a": 1, "a": 2} '
    (tmp_path / "file").write_bytes(claimed.to_bytes(8, "little") + text)
    if refused:
        with pytest.raises(ValueError, match=r"^it says 'a' twice$"):
            check_header(tmp_path / "file")
    else:
        check_header(tmp_path / "file")  # its reader finds that


def test_what_shares_memory_is_kept_once_for_each_shape():
    base = torch.ones(2, 3)
    state = {
        "a": base,
        "b": base,
        "row": base[0],
        "turned": base.T,
        "e": torch.ones(0),
        "f": torch.ones(0),
        "c": base + 1,
    }
    assert list(_unshared(state)) == ["a", "row", "turned", "e", "f", "c"]


def test_a_network_with_norms_of_weights_keeps_them_where_the_checkpoint_has_them(tmp_path):
    def build():
        return nn.Sequential(weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))

    network, other = build(), build()
    save_checkpoint(tmp_path / "Tiny", network, Masks(network), {"epoch": 2})
    facts = read_checksummed(tmp_path / "Tiny.json")
    assert facts.keys() == {"format", "crc32", "epoch"}
    restore_checkpoint(Checkpoint(tmp_path / "Tiny", facts), other)
    assert other.state_dict().keys() == network.state_dict().keys()
    assert other[0].weight.equal(network[0].weight)


def test_a_mask_of_a_layer_that_is_not_there_is_told_by_name(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2))
    masks = {f"masks/{name}": torch.ones(2, 3, dtype=torch.bool) for name in ("z", "0", "b", "y", "c")}
    write_tensors(tmp_path / "Tiny", {**network.state_dict(), **masks}, {})
    with pytest.raises(UserError, match=r"^the checkpoint Tiny is of another network: it masks a layer b$"):
        restore_checkpoint(Checkpoint(tmp_path / "Tiny", {}), network)


def test_metadata_goes_to_the_head_of_the_file_beside_what_is_packed(tmp_path):
    for number, metadata in ((0, None), (5000, {"tree": "x"})):
        write_tensors(tmp_path / "x", {"a": torch.zeros(number)}, {}, metadata)
        content = (tmp_path / "x.safetensors").read_bytes()
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        packed = {"packed": '{"a": {"shape": [5000], "bits": "a/bits", "values": "a/values"}}'} if number else {}
        assert head.get("__metadata__", {}) == (metadata or {}) | packed
