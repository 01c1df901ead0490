"""Training: what is pruned stays zero, what the optimizer gets, and the numbers that come out."""

import math

import pytest
import torch

from secateur.hooks import hookimpl
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError
from tests.commands import PRUNED

OPTIMIZERS = [name for name in dir(torch.optim) if isinstance(getattr(torch.optim, name), type)]
# Muon trains matrices only, SparseAdam sparse gradients only; both are refused, see test_optimizers.
OPTIMIZERS = [name for name in OPTIMIZERS if name not in ("Optimizer", "Muon", "SparseAdam")]


def watch_pruned_weights(trainer):
    """Check after every single step that what was pruned is exactly zero; returns the list of steps checked."""
    checked = []
    original = trainer.train_batch

    def train_batch(inputs, targets):
        original(inputs, targets)
        for name, mask in trainer.masks.kept.items():
            weight = trainer.masks.weights[name]
            assert (weight[~mask] == 0.0).all()
            assert weight.isfinite().all()
        checked.append(sum(int((~mask).sum()) for mask in trainer.masks.kept.values()))

    trainer.train_batch = train_batch
    return checked


@pytest.mark.parametrize(
    "flags",
    [
        *(f"--optimizer {name} --learning_rate 0.01 --l2_reg 0.01" for name in OPTIMIZERS),
        "--optimizer SGD --l2_reg 0 --grad_clip 0",
        "--optimizer SGD --grad_noise 0.5 --grad_clip 0.1",
        "--optimizer ADAM --grad_noise 0.5",
        "--optimizer ADAM --l1_reg 0.01 --lp_reg 0.01",
        "--optimizer ADAM --precision bf16",
        "--optimizer ADAM --channels_last --model LeNet5",
        "--optimizer SGD --lr_schedule onecycle",
    ],
)
def test_a_pruned_weight_is_zero_after_every_step(make_run, flags):
    # Pruned after an epoch, when the optimizer has moments of what goes, and would move it by them.
    during = "--prune_moment during --prune_delay 1 --epochs 3"
    trainer = DefaultTrainer(make_run(f"{PRUNED} {during} {flags}"))
    checked = watch_pruned_weights(trainer)
    trainer.train()
    total = sum(weight.numel() for weight in trainer.masks.weights.values())
    assert checked == [0] * 3 + [total - round((1 - 0.9) * total)] * 6


@pytest.mark.slow
def test_a_pruned_weight_is_zero_with_compilation(make_run):
    trainer = DefaultTrainer(make_run(f"{PRUNED} --model LogisticRegression --epochs 1 --compile"))
    checked = watch_pruned_weights(trainer)
    trainer.train()
    assert len(checked) == 3


def test_a_step_is_no_longer_than_the_clip_and_no_optimizer_is_without_weight_decay(make_run):
    run = make_run("--model LogisticRegression --optimizer SGD --learning_rate 0.5 --grad_clip 0.01 --l2_reg 0")
    trainer = DefaultTrainer(run)
    before = [parameter.detach().clone() for parameter in run.network.parameters()]
    inputs, targets = next(run.data.train.epoch(0))
    trainer.train_batch(inputs, targets)
    moved = [now.detach() - then for now, then in zip(run.network.parameters(), before, strict=True)]
    assert float(torch.cat([one.flatten() for one in moved]).norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)
    run = make_run("--model LogisticRegression --optimizer Rprop --l2_reg 1000 --grad_clip 0")
    trainer, weight = DefaultTrainer(run), run.network.classifier.weight
    before = weight.detach().clone()
    trainer.train_batch(inputs, targets)
    assert torch.equal((weight - before).sign(), -before.sign())  # the decay outweighs the loss


def test_masked_gradients_do_not_count_for_clipping(make_run):
    run = make_run("--model LogisticRegression --grad_clip 1")
    trainer = DefaultTrainer(run)
    weight = run.network.classifier.weight
    mask = torch.zeros_like(weight, dtype=torch.bool)
    mask[0, 0] = True
    run.masks.set({"classifier": mask})
    weight.grad = torch.full_like(weight, 100.0)
    weight.grad[0, 0] = 0.5
    trainer.adjust_gradients()
    # The one weight that is left has a gradient of norm 0.5, below the clip.
    assert weight.grad[0, 0] == 0.5
    assert weight.grad.sum() == 0.5


def test_weight_decay_reaches_optimizers_that_have_none(make_run):
    run = make_run("--model LogisticRegression --optimizer Rprop --l2_reg 0.1 --grad_clip 0")
    trainer = DefaultTrainer(run)
    weight = run.network.classifier.weight
    weight.grad = torch.ones_like(weight)
    trainer.adjust_gradients()
    torch.testing.assert_close(weight.grad, 1 + 0.1 * weight)


def test_the_same_seed_gives_the_same_network_bit_for_bit(make_run):
    def train(seed):
        run = make_run(f"--model Conv6 --prune_criterion SNIPit --epochs 1 --N 128 --seed {seed}")
        DefaultTrainer(run).train()
        return run.network.state_dict()

    first, again, other = train(1), train(1), train(2)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.rows, self.batches, self.steps, self.evaluations = [], [], [], []

    @hookimpl
    def epoch_finished(self, figures):
        self.rows.append(figures)

    @hookimpl
    def batch_finished(self, epoch, batch, batches):
        self.batches.append((epoch, batch, batches))

    @hookimpl
    def pruned(self, step):
        self.steps.append((step.epoch, step.sparsity))

    @hookimpl
    def evaluated(self, evaluation):
        self.evaluations.append(evaluation)


@pytest.fixture
def observed(make_run):
    def make(command):
        run = make_run(command)
        recorder = Recorder()
        # The run holds the relay only; a plugin registers with the manager behind it.
        from secateur.hooks import plugin_manager

        manager, _ = plugin_manager()
        manager.register(recorder)
        run.hooks = manager.hook
        return run, recorder

    return make


def test_results_hold_numbers_that_follow_from_the_run(observed):
    run, recorder = observed(
        "--model LeNet300 --prune_criterion SNIP --pruning_limit 0.75 --outer_layer_pruning --epochs 3 --N 100"
    )
    results = DefaultTrainer(run).train()
    # LeNet300 on 1x8x8: 64*300 + 300*100 + 100*10 = 50,200 weights and 410 biases
    assert results["parameters_dense"] == 50_610
    assert results["parameters_kept"] == 12_550 + 410
    assert results["weight_sparsity"] == 0.75
    assert results["flops_dense"] == 2 * 50_200
    assert results["flops_effective"] == 2 * 12_550
    # forward and twice as much backward, 3 epochs of 100 images
    assert results["flops_training_total"] == 3 * (2 * 12_550) * 300
    assert results["epochs"] == 3
    assert [row["epoch"] for row in recorder.rows] == [1, 2, 3]
    assert recorder.batches == [(epoch, batch, 2) for epoch in range(3) for batch in range(2)]
    assert recorder.steps == [(0, 0.75)]
    assert results["test_accuracy"] == recorder.rows[-1]["test_accuracy"] == recorder.evaluations[-1].accuracy
    assert results["train_accuracy"] == recorder.rows[-1]["train_accuracy"]
    # the last epoch's network was evaluated once, not twice
    assert len(recorder.evaluations) == 3


def test_operations_are_those_of_the_weights_that_there_are_at_each_step(make_run):
    run = make_run(
        "--model LeNet300 --prune_criterion SET --pruning_rate 0.5 --growing_rate 0 --prune_freq 1 --pruning_limit 0.5 "
        "--outer_layer_pruning --epochs 4 --N 32 --batch_size 16"
    )
    trainer = DefaultTrainer(run)
    trainer.pruner.pruning_steps = {0: [0.5], 3: [0.5]}  # the second in the midst of the second epoch
    results = trainer.train()
    # each layer has half of its weights, or as many as the random start gave it; then half of those
    first = run.flops.effective({name: 2 * density for name, density in run.sparsity().densities.items()})
    second = results["flops_effective"]
    assert second == pytest.approx(first / 2, rel=1e-3)
    assert results["flops_training_total"] == pytest.approx(3 * 16 * (3 * first + 5 * second), rel=1e-3)


def test_train_figures_are_means_over_the_whole_epoch(observed):
    # One batch an epoch: its loss is that of the untrained network, which evaluation gives as well.
    run, recorder = observed("--model LogisticRegression --epochs 1 --N 50 --batch_size 50 --learning_rate 1e-9")
    DefaultTrainer(run).train()
    from secateur.measuring.evaluation import evaluate

    evaluation = evaluate(run.network, run.loss, run.data.train, 10)
    assert recorder.rows[0]["train_loss"] == pytest.approx(evaluation.loss, rel=1e-5)
    assert recorder.rows[0]["train_accuracy"] == pytest.approx(evaluation.accuracy)


def test_a_row_has_the_learning_rate_that_the_schedule_has_come_to(observed):
    run, recorder = observed("--model LogisticRegression --epochs 3 --N 50 --learning_rate 0.01 --lr_schedule cosine")
    DefaultTrainer(run).train()
    rates = [0.01 * (1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in (1, 2, 3)]
    assert [row["learning_rate"] for row in recorder.rows] == pytest.approx(rates)


def test_without_eval_freq_the_network_is_evaluated_at_the_end_only(observed):
    run, recorder = observed("--model LogisticRegression --epochs 3 --N 50 --eval_freq 0")
    results = DefaultTrainer(run).train()
    assert len(recorder.evaluations) == 1
    assert [row["test_accuracy"] for row in recorder.rows] == [None] * 3
    assert results["test_accuracy"] == recorder.evaluations[0].accuracy


def test_tuning_leaves_the_test_set_alone(observed):
    run, recorder = observed("--model LogisticRegression --epochs 1 --N 100 --tuning")
    results = DefaultTrainer(run).train()
    assert results["test_accuracy"] is None
    assert results["validation_accuracy"] == recorder.rows[0]["validation_accuracy"]


def test_pre_epochs_come_before_pruning_and_epochs_after(observed):
    run, recorder = observed("--model LeNet300 --prune_criterion SNIP --pre_epochs 2 --epochs 1 --N 50")
    DefaultTrainer(run).train()
    assert recorder.steps == [(2, 0.5)]
    assert [row["weight_sparsity"] > 0 for row in recorder.rows] == [False, False, True]


def test_fp16_and_lbfgs_exclude_each_other(make_run):
    with pytest.raises(UserError, match="LBFGS"):
        DefaultTrainer(make_run("--model LeNet300 --optimizer LBFGS --precision fp16"))


@pytest.mark.parametrize("rewinding", ["", "--enable_rewinding --rewind_to 1"])
@pytest.mark.parametrize("optimizer", ["LBFGS", "Adafactor"])
def test_optimizers_that_cannot_follow_removed_channels_start_again(make_run, optimizer, rewinding):
    command = "--model LeNet300 --prune_criterion SNAPitDuring --pruning_limit 0.75 --snip_steps 1 --prune_delay 1"
    run = make_run(f"{command} --epochs 4 --N 96 --batch_size 32 --optimizer {optimizer} {rewinding}")
    results = DefaultTrainer(run).train()
    assert results["node_sparsity"] == 0.75
    assert math.isfinite(results["train_loss"])
    notices = run.notices.count("--optimizer LBFGS starts again whenever channels are removed")
    assert notices == (optimizer == "LBFGS")
