"""The commands of the systems that this one continues, as they are written there, on the data that is at hand."""

import itertools

import pytest

from tests.commands import QUICK

SMALL = f"--epochs 2 --N 96 --batch_size 32 --eval_freq 0 {QUICK}"


@pytest.fixture
def run(run):
    """Call main.main; returns the results and the output, or the status and the error."""

    def start(command):
        outcome = run(command)
        return (outcome.status, outcome.err) if outcome.status else (outcome.results, outcome.out)

    return start


@pytest.mark.parametrize("pruner", ["rand", "mag", "snip", "grasp", "synflow"])
def test_the_comparison_of_pruners_runs_as_it_is_written(run, pruner):
    command = f"--model-class lottery --model vgg11 --dataset digits --experiment example --pruner {pruner}"
    results, _ = run(f"{command} --compression 10 --outer_layer_pruning --expid {pruner} {SMALL} --post-epochs 0")
    # 3x3 convolutions of 1-64-128-256-256-512-512-512-512 channels and the classifier
    channels = [1, 64, 128, 256, 256, 512, 512, 512, 512]
    weights = 9 * sum(before * after for before, after in itertools.pairwise(channels)) + 512 * 10
    assert results["weight_sparsity"] == 1 - round(0.1 * weights) / weights
    (notice,) = results["notices"]
    assert notice.startswith("--data_set digits: these are DIGITS, ")


def test_many_shots_train_and_prune_in_turn(run):
    command = "--model LeNet300 --dataset digits --experiment multishot --pruner mag --compression 4 --snip_steps 2"
    results, out = run(f"{command} --pre-epochs 1 --outer_layer_pruning {SMALL}")
    assert results["weight_sparsity"] == 0.75
    assert results["epochs"] == 4
    assert out.count("prunable weights kept") == 2


@pytest.mark.parametrize(
    ("command", "sparsity"),
    [
        ("--prune_criterion UnstructuredRandom --pruning_rate 0.98 --pruning_limit 0.98", 0.98),
        ("--prune_criterion GRASP --pruning_limit 0.98", 0.98),
        ("--prune_criterion SNIPitDuring --pruning_limit 0.98 --epochs 10 --prune_freq 1", 0.98),
        ("--prune_criterion IMP --pruning_limit 0.98 --epochs 23 --prune_delay 4 --prune_freq 3 --enable_rewinding "
         "--rewind_to 6", 0.98),
        ("--prune_criterion FORCE --pruning_limit 0.98 --snip_steps 5", 0.98),
        ("--prune_criterion MovementPruning --pruning_limit 0.9 --epochs 8", 0.9),
        ("--prune_criterion RigL --pruning_limit 0.9 --update_steps 2", 0.9),
        ("--prune_criterion SNIP --pattern 1:4", 0.75),
        ("--prune_criterion SNIP --distribution erdos_renyi_kernel --pruning_limit 0.9 --shuffle_masks", 0.9),
        ("--prune_criterion SNIP --pruning_limit 0.9 --reinitialise --invert_scores", 0.9),
    ],
)  # fmt: skip
def test_each_method_hits_its_target(run, command, sparsity):
    results, _ = run(f"--model LeNet300 {SMALL} --outer_layer_pruning {command}")
    assert results["weight_sparsity"] == pytest.approx(sparsity, abs=1e-4)
    assert results["notices"] == []


def test_weights_regrown_where_nothing_comes_in_stay_zero_and_count_as_such(run):
    results, out = run(f"--model LeNet300 {SMALL} --outer_layer_pruning --prune_criterion SET --pruning_limit 0.9 "
                       "--epochs 4")  # fmt: skip
    assert out.count("5,020 of 50,200 prunable weights kept") == 4
    assert 0.9 <= results["weight_sparsity"] < 0.91


def test_deep_hoyer_brings_its_loss_and_prunes_what_it_made_small(run):
    command = (
        "--prune_criterion HoyerSquare --hoyer_reg 0.01 --epochs 20 --prune_delay 17 --prune_freq 1 --hoyer_square"
    )
    results, out = run(f"--model LeNet300 {SMALL} --outer_layer_pruning {command}")
    assert 0.3 < results["weight_sparsity"] < 1
    assert "HoyerSquare, 1 pruning step by a threshold; 20 epochs" in out
    assert results["notices"] == []


def test_deep_hoyer_ends_its_penalty_for_the_outer_layers_too(make_run):
    run = make_run(f"--model LeNet300 --hoyer_square {SMALL}")
    assert run.loss.penalty() is not None
    run.criterion.prune(0.5, [], last=True)
    assert run.loss.penalty() is None


def test_l0_brings_its_loss_and_its_trainer(run):
    results, _ = run(f"--model LeNet300 {SMALL} --l0 --l0_reg 0.1")
    assert results["gates"] == {"features.3": 300, "classifier": 100}
    assert results["notices"] == []


@pytest.mark.parametrize(
    ("flags", "notice"),
    [
        ("--prune_criterion SNIP --rewind_to 1", "--rewind_to has no effect without --enable_rewinding"),
        ("--prune_criterion SNIP --growing_rate 0.1", "--growing_rate has no effect with SNIP, CrossEntropy"),
        ("--l0_reg 0.1", "--l0_reg has no effect with EmptyCrit"),
        ("--hoyer_square --pruning_limit 0.9", "--pruning_limit has no effect with HoyerSquare, HoyerSquareCrossEnt"),
        ("--group_hoyer_square --compression 5", "--compression has no effect with GroupHoyerSquare, GroupHoyerSq"),
        ("--prune_criterion SNAP --outer_layer_pruning", "--outer_layer_pruning has no effect with SNAP, CrossEntropy"),
        ("--shuffle_masks", "--shuffle_masks has no effect with EmptyCrit"),
    ],
)
def test_flags_without_effect_are_reported(run, flags, notice):
    results, _ = run(f"--model LeNet300 {SMALL} {flags}")
    assert any(line.startswith(notice) for line in results["notices"])


def test_a_layer_that_collapses_is_reported_when_it_happens_and_in_the_results(run):
    results, out = run(f"--model VGG11 --prune_criterion synflow --compression 10000 --snip_steps 1 {SMALL} --epochs 0")
    assert results["collapsed_layers"]
    assert f"LAYER COLLAPSE: {results['collapsed_layers'][0]}" in out
