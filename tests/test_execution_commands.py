"""`--execution` in runs: they train and test the same network, and say in what way."""

import shutil

import pytest
import torch

from secateur.measuring import latency
from secateur.sparse import choice
from tests.commands import QUICK, results
from tests.resuming.interruptions import stop_at

PRUNED = f"--model LeNet300 --prune_criterion SNIP --pruning_limit 0.9 --outer_layer_pruning --epochs 2 {QUICK}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "SECONDS", 0.0)
    monkeypatch.setattr(latency, "MOST_TIMES", 1)
    monkeypatch.setattr(choice, "LAYER_SECONDS", 0.0)


def test_a_sparse_run_trains_what_a_dense_run_trains(run):
    dense, sparse = (run(f"{PRUNED} --execution {way}") for way in ("dense", "sparse"))
    assert dense.status == sparse.status == 0, sparse.err
    assert "execution" not in dense.results
    assert sparse.results["weight_sparsity"] == dense.results["weight_sparsity"]
    assert sparse.results["test_loss"] == pytest.approx(dense.results["test_loss"], rel=0.02)
    chosen = sparse.results["execution"]
    assert chosen["way"] == "sparse"
    assert {one["training"] for one in chosen["choices"]} == {True, False}
    assert all(one["layers"][0] == "features.1" for one in chosen["choices"])
    for way in ("sparse", "auto"):
        tested = run(f"--eval --checkpoint_name {sparse.folder} --execution {way} {QUICK}")
        assert tested.status == 0, tested.err
        assert tested.results["test_loss"] == pytest.approx(sparse.results["test_loss"], rel=1e-5)
        assert tested.results["latency_ms_batch_64"] > 0


def test_regrown_weights_train_and_the_mask_stays_exact(run):
    found = run(
        "--model ResNet20 --data_set RUBBISH --N 64 --input_dim 3 8 8 --batch_size 16 --prune_criterion RigL "
        f"--pruning_limit 0.9 --epochs 4 --prune_freq 1 --prune_delay 0 --execution sparse {QUICK}"
    )
    assert found.status == 0, found.err
    assert found.results["weight_sparsity"] == pytest.approx(0.9, abs=0.02)
    assert any(one["training"] and one["layers"] for one in found.results["execution"]["choices"])


def test_attacks_search_by_the_executed_network(run):
    trained = run(PRUNED)
    command = f"--eval --checkpoint_name {trained.folder} --test_scheme AdversarialEvaluation --attack FGSM {QUICK}"
    dense, sparse = (run(f"{command} --attack_samples 32 --execution {way}") for way in ("dense", "sparse"))
    assert sparse.status == 0, sparse.err
    for one, other in zip(dense.results["attacks"], sparse.results["attacks"], strict=True):
        assert other["robust"] == pytest.approx(one["robust"], abs=1 / 32)


def test_compiling_is_refused_beside_it(run):
    status, _, err, folder = run(f"{PRUNED} --execution sparse --compile")
    assert (status, folder) == (2, None)
    assert "--compile compiles the dense network" in err


def test_other_precisions_run_dense(run):
    found = run(f"{PRUNED} --execution sparse --precision bf16")
    assert found.status == 0, found.err
    assert found.results["execution"]["choices"] == []
    assert torch.get_num_threads() == 1


def test_a_run_goes_on_by_the_choices_that_it_began_with(run, monkeypatch, tmp_path):
    def say(faster):
        times = {"dense": 2.0, "sparse": 2.0, "compacted": 2.0, "compacted, sparse": 2.0, faster: 1.0}
        monkeypatch.setattr(choice, "median_times", lambda calls, budget: times)

    command = f"{PRUNED} --execution auto --N 64 --batch_size 16 --save_minutes 0"
    say("sparse")
    whole = run(command)
    go_on = stop_at(monkeypatch, 6)
    stopped = run(command)
    go_on()
    assert (whole.status, stopped.status) == (0, 130)
    shutil.rmtree(tmp_path / "secateur")  # what the disk knows of the choices, which another machine would not
    say("dense")
    resumed = run(f"--resume {stopped.folder.name}")
    assert resumed.status == 0, resumed.err
    chosen = results(stopped.folder)["execution"]["choices"]
    assert chosen[0]["training"]
    assert chosen[0]["layers"]
    assert chosen[:2] == whole.results["execution"]["choices"][:2]  # that of one image is made as its latency is
    finished = [
        next((one / "models").glob("*_finished.safetensors")).read_bytes() for one in (whole.folder, stopped.folder)
    ]
    assert finished[0] == finished[1]
