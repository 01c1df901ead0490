import json
import os
import shutil

import pytest
import torch
from torch import nn

from secateur.pruning.masks import Masks
from secateur.runs.checkpoint import restore_checkpoint, save_checkpoint, write_tensors
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.runs.files import checksum, checksum_of, read_checksummed, write_checksummed
from secateur.utils.errors import UserError

METADATA = {"model": "Tiny", "input_shape": (1, 2, 2), "num_classes": 3, "options": {}, "data_set": "DIGITS"}


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


@pytest.fixture
def saved(tmp_path):
    """A run folder with the checkpoint of a trained, masked network; returns the network and the results folder."""
    network = tiny()
    network(torch.randn(8, 4))  # gives batch norm something to remember
    masks = Masks(network)
    masks.set({"1": torch.rand(4, 4) > 0.5})
    folder = tmp_path / "results" / "run" / "models"
    folder.mkdir(parents=True)
    save_checkpoint(folder / "Tiny_finished", network, masks, {**METADATA, "epoch": 3})
    return network, masks, tmp_path / "results"


def test_saved_and_loaded_it_gives_the_same_outputs_bit_for_bit(saved):
    network, masks, results = saved
    other = tiny(seed=1)
    checkpoint = find_checkpoint(results, "run", None)
    other_masks = restore_checkpoint(checkpoint, other)
    inputs = torch.randn(16, 4)
    assert torch.equal(other.eval()(inputs), network.eval()(inputs))
    assert other_masks.kept.keys() == {"1"}
    assert torch.equal(other_masks.kept["1"], masks.kept["1"])
    assert checkpoint.metadata["epoch"] == 3
    assert checkpoint.metadata["input_shape"] == (1, 2, 2)


@pytest.mark.parametrize("hold", [True, False])
def test_what_its_masks_leave_out_is_zero_whatever_the_file_says(saved, hold):
    network, masks, results = saved
    nn.init.ones_(network[1].weight)  # as of a program that has written its weights before they were masked
    save_checkpoint(results / "run" / "models" / "Tiny_finished", network, masks, METADATA)
    other = tiny(seed=1)
    other_masks = restore_checkpoint(find_checkpoint(results, "run", None), other, hold)
    assert torch.equal(other[1].weight, masks.kept["1"].float())
    assert other_masks.hold == hold
    assert set(other_masks.kept) == ({"1"} if hold else set())


def test_the_file_loads_into_a_plain_network(saved):
    from safetensors.torch import load_file

    network, _, results = saved
    state = load_file(results / "run" / "models" / "Tiny_finished.safetensors")
    plain = tiny(seed=1)
    plain.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("masks/")})
    assert torch.equal(plain[1].weight, network[1].weight)


def test_tied_and_channels_last_weights_survive(tmp_path):
    def build():
        network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
        network[1].weight = network[0].weight
        return network.to(memory_format=torch.channels_last)

    (tmp_path / "run" / "models").mkdir(parents=True)
    network = build()
    save_checkpoint(tmp_path / "run" / "models" / "Tiny_finished", network, Masks(network), METADATA)
    other = build()
    restore_checkpoint(find_checkpoint(tmp_path, "run", None), other)
    assert torch.equal(other[1].weight, network[0].weight)


def test_latest_is_the_run_that_finished_last(saved):
    network, masks, results = saved
    for number, name in enumerate(["b", "a", "unfinished"]):
        folder = results / name / "models"
        folder.mkdir(parents=True)
        kind = "last" if name == "unfinished" else "Tiny_finished"
        save_checkpoint(folder / kind, network, masks, METADATA)
        os.utime(folder / f"{kind}.json", (2e9 + number, 2e9 + number))
    assert find_checkpoint(results, "latest", None).path == results / "a" / "models" / "Tiny_finished"


def test_a_smoke_run_is_never_the_latest(saved):
    network, masks, results = saved
    for number, (name, smoke) in enumerate([("real", False), ("tried", True)]):
        (results / name / "models").mkdir(parents=True)
        save_checkpoint(results / name / "models" / "Tiny_finished", network, masks, METADATA)
        os.utime(results / name / "models" / "Tiny_finished.json", (2e9 + number, 2e9 + number))
        (results / name / "output").mkdir()
        write_checksummed(results / name / "output" / "arguments.json", {"smoke": smoke})
    assert find_checkpoint(results, "latest", None).path.parent.parent == results / "real"
    assert find_checkpoint(results, "tried", None).path.parent.parent == results / "tried"
    for name in ("real", "run"):
        shutil.rmtree(results / name)
    with pytest.raises(UserError, match=r"no run in .* has finished yet but smoke runs, as tried, which are named by"):
        find_checkpoint(results, "latest", None)


def test_a_run_is_found_by_name_and_by_path(saved, monkeypatch):
    _, _, results = saved
    assert find_checkpoint(results, str(results / "run"), None).path.name == "Tiny_finished"
    monkeypatch.chdir(results)
    assert find_checkpoint(results / "elsewhere", "run", "Tiny_finished").path.name == "Tiny_finished"


def damage_tensors(models):
    path = models / "Tiny_finished.safetensors"
    path.write_bytes(path.read_bytes()[:-20])


def damage_json(models):
    (models / "Tiny_finished.json").write_text('{"model": "Ti')


def drop_a_fact(models):
    path = models / "Tiny_finished.json"
    write_checksummed(path, {key: value for key, value in read_checksummed(path).items() if key != "options"})


def no_dictionary(models):
    (models / "Tiny_finished.json").write_text("[1, 2]")


def deep(models):
    (models / "Tiny_finished.json").write_text("[" * 100_000)


def alter_one_byte(models):
    path = models / "Tiny_finished.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def alter_a_number(models):
    path = models / "Tiny_finished.json"
    path.write_text(path.read_text().replace('"epoch": 3', '"epoch": 4'))


def claim_terabytes(models):
    path = models / "Tiny_finished.safetensors"
    header = json.dumps({"1.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    metadata = read_checksummed(path.with_suffix(".json"))
    write_checksummed(path.with_suffix(".json"), {**metadata, "crc32": checksum(path.read_bytes())})


def claim_a_huge_head(models):
    path = models / "Tiny_finished.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + bytes(64))
    metadata = read_checksummed(path.with_suffix(".json"))
    write_checksummed(path.with_suffix(".json"), {**metadata, "crc32": checksum(path.read_bytes())})


@pytest.mark.parametrize(
    "damage",
    [
        alter_one_byte,
        alter_a_number,
        claim_terabytes,
        claim_a_huge_head,
        damage_tensors,
        damage_json,
        drop_a_fact,
        no_dictionary,
        deep,
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(saved, damage):
    _, _, results = saved
    damage(results / "run" / "models")
    with pytest.raises(UserError, match=r"^the checkpoint .*Tiny_finished.* cannot be read: [^\n]*$"):
        restore_checkpoint(find_checkpoint(results, "run", None), tiny())


def test_a_checkpoint_of_the_first_versions_has_no_checksums(saved):
    _, _, results = saved
    path = results / "run" / "models" / "Tiny_finished.json"
    path.write_text(json.dumps({name: fact for name, fact in read_checksummed(path).items() if name != "crc32"}))
    checkpoint = find_checkpoint(results, "run", None)
    restore_checkpoint(checkpoint, other := tiny(seed=1))
    assert torch.equal(other[1].weight, saved[0][1].weight)


def test_what_is_not_there_is_refused_with_what_is(saved):
    _, _, results = saved
    with pytest.raises(UserError, match=r"no run folder 'rum'.*did you mean run"):
        find_checkpoint(results, "rum", None)
    with pytest.raises(UserError, match="holds no 'Tinny_finished': did you mean Tiny_finished"):
        find_checkpoint(results, "run", "Tinny_finished")
    with pytest.raises(UserError, match=r"no run in .* has finished yet"):
        find_checkpoint(results / "run", "latest", None)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)), "have another shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), "of another network: 0 tensors are missing, 7 are unknown"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(saved, other, message):
    _, _, results = saved
    with pytest.raises(UserError, match=message):
        restore_checkpoint(find_checkpoint(results, "run", None), other)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": 2}, "its format is 2, and this version reads 1"),
        ({"data_set": None}, "its data_set is None"),
        ({"input_shape": [-1, 2, 2]}, r"its input_shape is \[-1, 2, 2\]"),
        ({"input_shape": [1, 2, 10**9]}, "its input_shape is"),
        ({"input_shape": ["1", "2", "2"]}, "its input_shape is"),
        ({"input_shape": [1, 2]}, "its input_shape is"),
        ({"num_classes": True}, "its num_classes is True"),
        ({"seed": -1}, "its seed is -1"),
        ({"loss": 3}, "its loss is 3"),
    ],
)
def test_facts_that_cannot_be_are_refused_in_one_line(saved, changed, message):
    _, _, results = saved
    path = results / "run" / "models" / "Tiny_finished.json"
    write_checksummed(path, {**read_checksummed(path), **changed})
    with pytest.raises(UserError, match=f"Tiny_finished.json cannot be read: {message}") as caught:
        find_checkpoint(results, "run", None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mask", [torch.ones(4, 4), torch.ones(4, 3, dtype=torch.bool)])
def test_a_mask_of_another_type_or_shape_is_refused(saved, mask):
    from safetensors.torch import load_file

    _, _, results = saved
    path = results / "run" / "models" / "Tiny_finished"
    write_tensors(path, {**load_file(f"{path}.safetensors"), "masks/1": mask}, METADATA)
    with pytest.raises(UserError, match=r"Tiny_finished.safetensors is damaged: its mask of 1 is torch"):
        restore_checkpoint(find_checkpoint(results, "run", None), tiny())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32])
def test_weights_that_are_no_real_numbers_are_refused(saved, dtype):
    from safetensors.torch import load_file

    _, _, results = saved
    path = results / "run" / "models" / "Tiny_finished"
    tensors = load_file(f"{path}.safetensors")
    write_tensors(path, {**tensors, "1.weight": tensors["1.weight"].to(dtype)}, METADATA)
    with pytest.raises(UserError, match=r"1 have another shape or type; the first is 1\.weight"):
        restore_checkpoint(find_checkpoint(results, "run", None), tiny())


def test_a_name_that_the_tensors_say_twice_is_refused(saved):
    _, _, results = saved
    path = results / "run" / "models" / "Tiny_finished.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    name = next(iter(json.loads(header).items()))
    double = b"{" + json.dumps(dict([name]))[1:-1].encode() + b"," + header[1:]
    path.write_bytes(len(double).to_bytes(8, "little") + double + content[8 + length :])
    write_checksummed(path.with_suffix(".json"), {**METADATA, "format": 1, "crc32": checksum_of(path)})
    with pytest.raises(UserError, match=f"it says '{name[0]}' twice"):
        restore_checkpoint(find_checkpoint(results, "run", None), tiny())


def test_a_name_longer_than_any_file_is_refused(saved):
    with pytest.raises(UserError, match="--checkpoint_name: File name too long: 'xxx"):
        find_checkpoint(saved[2], "x" * 5000, None)


def test_of_all_that_differs_the_first_by_name_is_told(saved):
    _, _, results = saved
    other = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Linear(3, 3))
    with pytest.raises(UserError, match=r"2 tensors are missing, 0 are unknown and 2 have .*; the first is 1\.bias$"):
        restore_checkpoint(find_checkpoint(results, "run", None), other)
