"""secateur.save, load and load_weights."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

import secateur


def test_a_shrunken_network_cuts_a_fresh_one_to_fit(make_network, images, tmp_path):
    network = make_network()
    secateur.prune(network, "L1Norm", sparsity=0.5, example=images[:1])
    path = secateur.save(network, tmp_path / "small", note="mine")
    assert json.loads((tmp_path / "small.json").read_text())["note"] == "mine"
    again = secateur.load(path, make_network())
    assert again[3].weight.shape == (8, 4, 3, 3)
    assert torch.equal(again.eval()(images), network.eval()(images))


def test_steps_of_weights_of_channels_and_compaction_are_all_repeated(make_network, batches, images, tmp_path):
    network = make_network()
    secateur.prune(network, "L1Norm", sparsity=0.25, example=images[:1])
    secateur.prune(network, "SNAP", sparsity=0.5, batches=batches)
    secateur.prune(network, "Magnitude", sparsity=0.9, batches=batches)
    smaller = secateur.compact(network, images[:1])
    for name, one in (("masked", network), ("compact", smaller)):
        again = secateur.load(secateur.save(one, tmp_path / name), make_network())
        assert torch.allclose(again.eval()(images), network.eval()(images), atol=1e-6)


def test_masks_are_in_the_file_and_hold_when_it_is_loaded(make_network, batches, tmp_path):
    network = make_network()
    result = secateur.prune(network, "Magnitude", sparsity=0.8, batches=batches)
    secateur.save(network, tmp_path / "masked.safetensors")
    assert torch.equal(load_file(tmp_path / "masked.safetensors")["masks/3"], result.masks["3"])
    again = secateur.load(tmp_path / "masked", make_network())
    optimizer = torch.optim.SGD(again.parameters(), lr=0.1)
    functional.cross_entropy(again(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    assert int((again[3].weight == 0).sum()) == 1152 - round(0.2 * 1152)
    free = secateur.load(tmp_path / "masked.json", make_network(), hold=False)
    optimizer = torch.optim.SGD(free.parameters(), lr=0.1)
    functional.cross_entropy(free(batches[0][0]), batches[0][1]).backward()
    optimizer.step()
    assert int((free[3].weight == 0).sum()) < 300


def test_a_dense_network_is_saved_too(make_network, images, tmp_path):
    network = make_network()
    again = secateur.load(secateur.save(network, tmp_path / "dense"), make_network())
    assert torch.equal(again.eval()(images), network.eval()(images))


def test_a_network_of_the_laboratory_is_built_by_its_name(run, images):
    outcome = run("--model LeNet300 --prune_criterion SNAPit --epochs 1 --N 64 --disable_netplot")
    network = secateur.load(outcome.folder)
    left = sum(parameter.numel() for parameter in network.parameters())
    assert left == outcome.results["parameters_kept"]
    direct = secateur.load(outcome.folder / "models" / "LeNet300_finished")
    assert torch.equal(direct.eval()(images), network.eval()(images))


def test_what_does_not_fit_is_one_line(make_network, images, tmp_path):
    secateur.save(make_network(), tmp_path / "net")
    with pytest.raises(ValueError, match="does not say its input_shape: give a fresh network"):
        secateur.load(tmp_path / "net")
    with pytest.raises(ValueError, match=r"net is of another network: .* the first is"):
        secateur.load(tmp_path / "net", torch.nn.Linear(3, 3))
    with pytest.raises(ValueError, match=r"the checkpoint .*nothing.json cannot be read"):
        secateur.load(tmp_path / "nothing", make_network())
    (tmp_path / "net.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="it is incomplete, or was altered"):
        secateur.load(tmp_path / "net", make_network())


def test_weights_of_others_are_loaded_and_told(make_network, images, tmp_path):
    network = make_network()
    torch.save({f"model.{name}": tensor for name, tensor in network.state_dict().items()}, tmp_path / "theirs.pth")
    other = make_network()
    torch.nn.init.zeros_(other[3].weight)
    lines = secateur.load_weights(other, tmp_path / "theirs.pth")
    assert "15 of 15 tensors loaded" in lines[0] or "tensors loaded" in lines[0]
    assert torch.equal(other.eval()(images), network.eval()(images))
