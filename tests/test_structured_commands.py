"""The structured commands of SNIP-it's program, as they are written there but in small; each network is reloaded."""

import pytest

from tests.commands import QUICK

# VGG11 for VGG16, DIGITS for CIFAR10, fewer epochs of fewer images
SMALL = f"--model VGG11 --data_set DIGITS --N 96 --batch_size 32 --eval_freq 0 {QUICK}"
PARAMETERS = 9_229_962


@pytest.fixture
def run(run):
    """Call main.main; returns the run folder, its results and the output."""

    def start(command):
        outcome = run(command)
        assert outcome.status == 0, outcome.err
        return outcome.folder, outcome.results, outcome.out

    return start


@pytest.fixture
def train_and_test(run):
    """Run a command, then test its finished network; returns the results and the output of the former."""

    def start(command):
        folder, results, out = run(f"{SMALL} {command}")
        _, tested, _ = run(f"--eval --checkpoint_name {folder.name} {QUICK}")
        assert tested["test_accuracy"] == results["test_accuracy"]
        assert tested["test_loss"] == pytest.approx(results["test_loss"], rel=1e-5)
        assert tested["node_sparsity"] == results["node_sparsity"]
        assert tested["weight_sparsity"] == results["weight_sparsity"]
        return results, out

    return start


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("--prune_criterion SNAPit --pruning_limit 0.93 --epochs 2", 7),
        ("--prune_criterion StructuredRandom --pruning_limit 0.93 --epochs 2", 1),
        ("--prune_criterion EfficientConvNets --pruning_limit 0.93 --epochs 4 --prune_delay 3 --prune_freq 1", 1),
    ],
)
def test_units_go_as_the_limit_says(train_and_test, command, steps):
    results, out = train_and_test(command)
    assert out.count("prunable units kept") == steps
    assert results["node_sparsity"] == pytest.approx(0.93, abs=1e-3)
    assert results["parameters_kept"] < 0.02 * PARAMETERS
    assert results["notices"] == []


def test_gate_decorators_start_from_a_network_that_is_finished(run):
    dense, results, _ = run(f"{SMALL} --prune_criterion EmptyCrit --epochs 1 --pruning_limit 0.0")
    assert results["node_sparsity"] == 0
    # The program's 70 epochs, by cycles of 2 + 1 epochs instead of 10 + 9, and 4 pruning steps instead of 20.
    folder, results, out = run(
        f"{SMALL} --prune_criterion GateDecorators --pruning_limit 0.93 --epochs 7 --checkpoint_name {dense.name} "
        "--checkpoint_model VGG11_finished --tick_epochs 2 --tock_epochs 1 --snip_steps 4"
    )
    assert out.count("prunable units kept") == 4
    assert results["node_sparsity"] == pytest.approx(0.93, abs=1e-3)
    assert results["notices"] == []
    _, tested, _ = run(f"--eval --checkpoint_name {folder.name} {QUICK}")
    assert tested["test_loss"] == pytest.approx(results["test_loss"], rel=1e-5)
    assert tested["parameters_kept"] == results["parameters_kept"]


def test_group_hoyer_square_takes_what_its_penalty_made_small(train_and_test):
    results, out = train_and_test(
        "--prune_criterion GroupHoyerSquare --hoyer_reg 1 --epochs 8 --prune_delay 6 --prune_freq 1 "
        "--group_hoyer_square --hoyer_threshold 0.05"
    )
    assert out.count("prunable units kept") == 1
    assert 0 < results["node_sparsity"] < 1
    assert [notice for notice in results["notices"] if "--prune_freq" not in notice] == []


def test_l0_has_gates(train_and_test):
    results, _ = train_and_test("--l0_reg 0.1 --epochs 2 --l0")
    assert len(results["gates"]) == 9


@pytest.mark.parametrize(
    ("command", "steps"), [("CNIP --epochs 1", 1), ("CNIPit --epochs 1", 7), ("CNIPitDuring --epochs 8", 7)]
)
def test_weights_and_units_go_together(train_and_test, command, steps):
    results, out = train_and_test(
        f"--model LeNet5 --pruning_limit 0.9 --outer_layer_pruning --prune_criterion {command}"
    )
    assert out.count("prunable weights kept, ") == out.count("prunable units kept") == steps
    assert 0 < results["node_sparsity"] < 0.9
    assert 0.9 < results["weight_sparsity"] < 0.96
    assert results["notices"] == []
