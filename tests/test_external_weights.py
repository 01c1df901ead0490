"""Weights of other projects, by --checkpoint_model FILE: what loads, what is refused, and that no file runs code."""

import argparse
import pickle
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from secateur.runs.external_weights import load_external
from secateur.utils.errors import UserError
from tests.commands import QUICK
from tests.malice import Bomb


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def external_state():
    """Weights that no initialisation gives: 0, 1, 2, ... in each tensor."""
    return {
        name: torch.arange(tensor.numel()).reshape(tensor.shape).to(tensor.dtype)
        for name, tensor in network().state_dict().items()
    }


def loaded(path, **options):
    """Load a file into a fresh network; returns its state and the lines."""
    fresh = network()
    lines = load_external(path, fresh, partial=options.get("partial", False))
    return fresh.state_dict(), lines


def refusal(path, **options):
    """The one line by which a file is refused."""
    with pytest.raises(UserError) as caught:
        loaded(path, **options)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"--checkpoint_model {path}")
    return line


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}}},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "model": lambda state: {"model": state, "args": {"lr": 0.1}},
    "net": lambda state: {"net": state, "acc": 93.2},
    "two deep": lambda state: {"model": {"state_dict": state}},
    "DataParallel": lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
    "compiled": lambda state: {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_is_found_in_what_programs_wrap_it_in(tmp_path, wrap, zipped):
    path = tmp_path / "other.pth.tar"
    torch.save(wrap(external_state()), path, _use_new_zipfile_serialization=zipped)
    state, lines = loaded(path)
    assert lines == [f"9 of 9 tensors loaded from {path}"]
    assert all(torch.equal(state[name], tensor) for name, tensor in external_state().items())


def test_safetensors_of_another_type_become_the_networks(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({name: tensor.half() for name, tensor in external_state().items()}, path)
    state, _ = loaded(path)
    assert state["0.weight"].dtype == torch.float32
    assert torch.equal(state["0.weight"], external_state()["0.weight"])


def test_a_tensor_under_two_names_and_counts_of_batches_may_be_left_out(tmp_path):
    tied = network()
    tied.add_module("again", tied[0])
    state = {name: tensor for name, tensor in external_state().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    assert load_external(tmp_path / "old.pt", tied, partial=False) == [f"8 of 11 tensors loaded from {tmp_path}/old.pt"]
    assert torch.equal(tied.again.weight, state["0.weight"])


def test_what_does_not_fit_is_counted_and_named_and_refused(tmp_path):
    path = tmp_path / "other.pth"
    state = external_state()
    state["2.weight"] = torch.zeros(5, 4)
    for name in ("0.bias", "2.bias"):
        del state[name]
    state |= {f"extra.{number}": torch.zeros(1) for number in range(4)} | {"red\x1b[31m": torch.zeros(1)}
    torch.save(state, path)
    assert refusal(path) == (
        f"--checkpoint_model {path} is of another network: 6 of 9 tensors fit; 2 missing (0.bias, 2.bias); 1 of "
        "another shape (2.weight (5, 4), here (2, 4)); 5 unknown (extra.0, extra.1, extra.2 and 2 more); "
        "--partial_checkpoint loads what fits"
    )
    torch.manual_seed(5)
    untouched = network().state_dict()
    torch.manual_seed(5)
    after, lines = loaded(path, partial=True)
    assert lines == [
        f"6 of 9 tensors loaded from {path}",
        "missing in other.pth, left at their initialisation: 2 (0.bias, 2.bias)",
        "of another shape in other.pth, left at their initialisation: 1 (2.weight (5, 4), here (2, 4))",
        "unknown in other.pth, not loaded: 5 (extra.0, extra.1, extra.2 and 2 more)",
    ]
    assert torch.equal(after["2.weight"], untouched["2.weight"])
    assert torch.equal(after["0.weight"], state["0.weight"])


def test_what_is_shown_of_a_file_cannot_command_the_terminal(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"\x1b]0;owned\x07\n": torch.zeros(1)}, path)
    line = refusal(path, partial=True)
    assert "0 of 9 tensors fit" in line
    assert r"\x1b]0;owned\x07\n" in line


@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "pickle 4"])
def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path, ending, form):
    path, victim = tmp_path / f"evil{ending}", tmp_path / "ran"
    content = {"state_dict": {"0.weight": torch.zeros(4, 3)}, "extra": Bomb(victim)}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(content | {"state_dict": {}}, protocol=4 if form.endswith("4") else 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    line = refusal(path, partial=True)
    assert not victim.exists()
    assert "weights_only" not in line  # torch's advice is to load it all the same
    if form in ("zip", "legacy") and ending != ".safetensors":
        assert "which may run code: save the weights alone by torch.save(network.state_dict(), file)" in line
    assert pickle.loads(pickle.dumps(Bomb(victim))) is None
    assert victim.exists()  # it would have


def test_a_lightning_checkpoint_is_loaded_unless_its_hyper_parameters_are_objects(tmp_path):
    path = tmp_path / "epoch=3.ckpt"
    state = {f"model.{name}": tensor for name, tensor in external_state().items()}
    content = {"epoch": 3, "pytorch-lightning_version": "2.5.0", "state_dict": state, "optimizer_states": [{}]}
    torch.save(content | {"hyper_parameters": {"lr": 0.1, "layers": [4, 2]}}, path)
    after, lines = loaded(path)
    assert lines[0] == f"9 of 9 tensors loaded from {path}"
    assert all(torch.equal(after[name], tensor) for name, tensor in external_state().items())
    torch.save(content | {"hyper_parameters": argparse.Namespace(lr=0.1)}, path)
    assert refusal(path) == (
        f"--checkpoint_model {path} cannot be read: beside tensors it holds argparse.Namespace, which may run code: "
        "save the weights alone by torch.save(network.state_dict(), file)"
    )


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pth"
    torch.save(external_state(), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/99", bytes(10_000_000))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    assert "would unpack to 10,0" in refusal(path)


def test_a_file_larger_than_the_free_memory_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "large.pth"
    torch.save(external_state(), path)
    monkeypatch.setattr("secateur.runs.external_tensors.free_memory", lambda _device: 100)
    assert "100 bytes of memory are free" in refusal(path)


def test_headers_that_claim_what_is_not_there_are_refused(tmp_path):
    path = tmp_path / "claims.safetensors"
    header = b'{"0.weight":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "cannot be read: SafetensorError" in refusal(path)
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    assert "cannot be read: SafetensorError" in refusal(path)
    legacy = tmp_path / "claims.pth"
    torch.save({"0.weight": torch.zeros(12345)}, legacy, _use_new_zipfile_serialization=False)
    claimed = legacy.read_bytes().replace(b"M90", b"\x8a\x06\0\0\0\0\0\x01")  # 12,345 becomes 2^40 numbers
    legacy.write_bytes(claimed)
    assert "cannot be read" in refusal(legacy)


HOLDS = {
    "nothing": {},
    "numbers": {"a": 1, "b": [2, 3]},
    "a tensor": torch.zeros(3),
    "tensors by number": {0: torch.zeros(3)},
}


@pytest.mark.parametrize("content", HOLDS.values(), ids=HOLDS)
def test_a_file_without_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    assert "holds no tensors by name" in refusal(tmp_path / "other.pt")


def test_a_dictionary_that_holds_itself_ends(tmp_path):
    content = {}
    content["model"] = content
    torch.save(content, tmp_path / "other.pt")
    assert "holds no tensors by name" in refusal(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "tensor", [torch.eye(4).to_sparse(), torch.zeros(4, 3, dtype=torch.complex64), torch.zeros(4, 3, device="meta")]
)
def test_what_is_no_plain_tensor_is_refused_by_name(tmp_path, tensor):
    torch.save({"0.weight": tensor}, tmp_path / "other.pt")
    assert "0.weight is not a plain tensor of numbers" in refusal(tmp_path / "other.pt")


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_file_cut_short_is_refused(tmp_path, cut, ending):
    path = tmp_path / f"other{ending}"
    state = external_state()
    safetensors.torch.save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:cut])
    assert "cannot be read: " in refusal(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of LogisticRegression on 8x8 images, as another program would have saved them."""
    path = tmp_path_factory.mktemp("other") / "theirs.pth"
    weight = torch.arange(640.0).reshape(10, 64) / 640
    torch.save({"state_dict": {"module.classifier.weight": weight, "module.classifier.bias": torch.zeros(10)}}, path)
    return path


def weight_of(folder):
    return safetensors.torch.load_file(folder / "models" / "LogisticRegression_finished.safetensors")[
        "classifier.weight"
    ]


def test_another_projects_network_is_tested_pruned_and_trained(run, file):
    command = f"--model LogisticRegression --checkpoint_model {file} --N 64 {QUICK}"
    tested = run(f"--eval --model LogisticRegression --checkpoint_model {file} {QUICK}")
    assert tested.status == 0, tested.err
    assert f"2 of 2 tensors loaded from {file}" in tested.results["notices"]
    assert "checkpoint_bytes" not in tested.results

    pruned = run(f"{command} --epochs 0 --prune_criterion Magnitude --pruning_limit 0.5 --outer_layer_pruning")
    assert pruned.status == 0, pruned.err
    expected = torch.arange(640.0).reshape(10, 64) / 640
    expected[expected < 0.5] = 0
    assert torch.equal(weight_of(pruned.folder), expected)
    command_of = (pruned.folder / "output" / "calling_command.txt").read_text()
    assert f"--checkpoint_model={file}" in command_of

    trained = run(f"{command} --epochs 1 --learning_rate 1e-9 --l2_reg 0")
    assert trained.status == 0, trained.err
    assert torch.allclose(weight_of(trained.folder), torch.arange(640.0).reshape(10, 64) / 640, atol=1e-6)


def test_every_tester_that_compares_takes_it(run, file):
    common = f"--eval --model LogisticRegression --checkpoint_model {file} {QUICK}"
    for tester in ("LayerReport", "Calibration", "Speed --speed_seconds 0.01 --speed_batch_sizes 1"):
        tested = run(f"{common} --test_scheme {tester}")
        assert tested.status == 0, tested.err


def test_a_network_that_it_does_not_fit_is_one_line_and_leaves_no_folder(run, file):
    for command in (
        f"--model LeNet300 --checkpoint_model {file}",
        f"--eval --model LeNet300 --checkpoint_model {file}",
    ):
        refused = run(command)
        assert (refused.status, refused.folder) == (2, None)
        assert refused.err.count("\n") == 1
        assert "is of another network" in refused.err


def test_its_own_checkpoints_are_named_by_their_run(run):
    trained = run(f"--model LeNet300 --prune_criterion SNIP --epochs 0 --N 64 {QUICK}")
    path = trained.folder / "models" / "LeNet300_finished.safetensors"
    refused = run(f"--eval --model LeNet300 --checkpoint_model {path}")
    assert refused.status == 2
    assert "name its run folder with --checkpoint_name, and --checkpoint_model LeNet300_finished" in refused.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--partial_checkpoint", "--partial_checkpoint is for a file of another project"),
        ("--checkpoint_model LeNet300_finished", "or must be the path of a file"),
        ("--checkpoint_model nowhere.pth", "there is not a file"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(make_settings, command, message):
    with pytest.raises(UserError, match=message):
        make_settings(command)
