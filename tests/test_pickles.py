"""A pickle that would run code, in the place of each file that is read: it is refused, and nothing of it runs."""

import pickle

import numpy as np
import pytest

from tests.commands import QUICK
from tests.damaged_files import broken_arrays, broken_grid, broken_images, broken_mnist, broken_weights
from tests.malice import Bomb


def evil_objects(folder):
    """An array of Python objects, which numpy pickles within its own format."""
    bomb = np.array([Bomb(folder / "ran")], object)
    np.savez(folder / "objects.npz", x_train=bomb, y_train=bomb, x_test=bomb, y_test=bomb)
    return "--data_set ARRAYS", "objects.npz"


def refused(run, command, name):
    """The line by which the command is refused; the file's name is in it."""
    outcome = run(command)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1), outcome.err
    assert name in outcome.err
    return outcome.err


@pytest.mark.parametrize(
    "make", [broken_images, broken_arrays, broken_mnist, broken_weights, broken_grid, evil_objects]
)
def test_in_the_place_of_what_a_user_brings(run, tmp_path, make):
    folder, victim = tmp_path / "data", tmp_path / "data" / "ran"
    folder.mkdir()
    command, name = make(folder)
    if make is not evil_objects:
        next(folder.rglob(name)).write_bytes(pickle.dumps(Bomb(victim)))
    refused(run, f"--model LogisticRegression --epochs 1 --data_dir {folder} {command} {QUICK}", name)
    assert not victim.exists()


def test_in_the_place_of_what_a_run_leaves(run, tmp_path):
    victim = tmp_path / "ran"
    evil = pickle.dumps(Bomb(victim))
    folder = run(f"--model LogisticRegression --epochs 1 {QUICK}").folder
    for name, command in (
        ("models/LogisticRegression_finished.safetensors", "--eval --checkpoint_name latest"),
        ("models/LogisticRegression_finished.json", "--eval --checkpoint_name latest"),
    ):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(evil)
        refused(run, command, name.split("/")[1].split(".")[0])
        (folder / name).write_bytes(whole)
        assert not victim.exists(), name
    (folder / "output" / "results.json").write_bytes(evil)
    assert run(f"--report {folder}").status == 0  # of a run without results
    assert not victim.exists()
    pickle.loads(evil)
    assert victim.exists()  # it would have
