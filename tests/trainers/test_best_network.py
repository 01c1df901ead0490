"""`--keep_best`: the network of the epoch that is best on held-out training images is the one that is kept."""

import csv

import pytest
import torch

from secateur.measuring.evaluation import Evaluation
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.training import best
from secateur.utils.errors import UserError

SMALL = "--model LeNet300 --N 100 --batch_size 32 --keep_best --num_valid 20"


def train(monkeypatch, run, accuracies):
    """Train, with these accuracies on the validation set; returns results, and what the network was at each epoch."""
    trainer, states, left = DefaultTrainer(run), [], list(accuracies)

    def evaluated(network, _loss, batches, *_):
        assert len(batches.images) == 20
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return Evaluation(1 - left[0], left.pop(0), None)

    monkeypatch.setattr(best, "evaluate", evaluated)
    return trainer.train(), states


def is_same(network, state):
    return all(tensor.equal(state[name]) for name, tensor in network.state_dict().items())


def test_the_first_of_the_best_epochs_is_kept(monkeypatch, make_run):
    run = make_run(f"{SMALL} --epochs 4")
    results, states = train(monkeypatch, run, [0.5, 0.75, 0.75, 0.25])
    assert (results["best_epoch"], results["epochs"]) == (2, 4)
    assert (results["validation_accuracy"], results["validation_loss"]) == (0.75, 0.25)
    assert is_same(run.network, states[1])
    assert not is_same(run.network, states[3])
    assert len(run.data.train.images) == 80
    # The test set says how good it is.
    again = DefaultTrainer(run).evaluate()
    assert (results["test_accuracy"], results["test_loss"]) == (again.accuracy, again.loss)


def test_epochs_before_the_last_pruning_step_do_not_count(monkeypatch, make_run):
    run = make_run(
        f"{SMALL} --epochs 5 --prune_criterion GradualMagnitude --snip_steps 2 --prune_delay 1 --pruning_limit 0.9"
        " --outer_layer_pruning"
    )
    last = max(run.plan.pruning_steps) // len(run.data.train)
    assert 1 < last < 4
    accuracies = [0.9] * last + [0.5, 0.6, 0.4, 0.3][: 5 - last]
    results, states = train(monkeypatch, run, accuracies)
    assert results["best_epoch"] == last + 2
    assert is_same(run.network, states[last + 1])
    assert results["weight_sparsity"] == pytest.approx(0.9, abs=1e-4)


def test_where_no_epoch_follows_the_pruning_the_last_network_is_kept(monkeypatch, make_run):
    run = make_run(f"{SMALL} --epochs 2 --prune_criterion Magnitude --prune_moment after --pruning_limit 0.9")
    results, _ = train(monkeypatch, run, [0.9, 0.9])
    assert results["best_epoch"] is None
    assert run.notices == [
        "not pruned without outer_layer_pruning: features.1, classifier, the first and the last layer",
        "--keep_best: no epoch followed the last pruning step, so the last network is kept",
    ]
    assert results["weight_sparsity"] > 0.3


def test_the_best_network_outlives_an_interruption(monkeypatch, make_run):
    run = make_run(f"{SMALL} --epochs 3")
    trainer = DefaultTrainer(run)
    trainer.best.epoch, trainer.best.accuracy, trainer.best.network = 1, 0.75, {"x": torch.ones(2)}
    other = DefaultTrainer(make_run(f"{SMALL} --epochs 3"))
    other.load_state_dict(trainer.state_dict())
    assert (other.best.epoch, other.best.accuracy) == (1, 0.75)
    assert other.best.network["x"].tolist() == [1, 1]


def test_with_tuning_the_validation_set_decides_and_the_test_set_is_left_alone(run):
    outcome = run("--model LogisticRegression --tuning --keep_best --num_valid 300 --epochs 4 --eval_freq 0")
    assert outcome.status == 0, outcome.err
    assert "1,137 training and 300 validation images" in outcome.out
    results = outcome.results
    with (outcome.folder / "output" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    accuracies = [float(row["validation_accuracy"]) for row in rows]
    assert len(rows) == 4
    assert results["validation_accuracy"] == max(accuracies) == accuracies[results["best_epoch"] - 1]
    assert results["test_accuracy"] is None


def test_what_cannot_be_is_said_in_a_line(make_run, make_settings):
    with pytest.raises(UserError, match=r"^--num_valid holds training images out for --keep_best or for --tuning"):
        make_settings("--num_valid 10")
    run = make_run("--model LeNet300 --l0 --keep_best --epochs 1")
    with pytest.raises(UserError, match=r"L0Trainer keeps a moving average of all steps: leave out --keep_best"):
        run.settings.components["train_scheme"].load()(run)
