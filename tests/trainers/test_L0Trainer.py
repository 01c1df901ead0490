import copy
import itertools
import math

import pytest
import torch

from secateur.hooks import hookimpl, plugin_manager
from secateur.measuring.evaluation import evaluate
from secateur.runs.checkpoint import restore_checkpoint
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.trainers.L0Trainer import L0Trainer
from secateur.utils.errors import UserError

SHORT = "--l0 --N 200 --batch_size 50"
STRONG = f"--model LeNet300 {SHORT} --epochs 8 --l0_reg 20 --learning_rate 0.1 --beta_ema 0.5"


def test_a_high_price_closes_gates_and_what_they_gate_is_pruned(make_run):
    run = make_run(STRONG)
    trainer = L0Trainer(run)
    results = trainer.train()
    assert results["gates"] == {"features.3": 300, "classifier": 100}
    assert results["gates_open"]["features.3"] < 300
    closed = {name: count - results["gates_open"][name] for name, count in results["gates"].items()}
    # A closed gate takes a column: 100 weights of the second layer, 10 of the last.
    assert results["weight_sparsity"] == pytest.approx(
        (100 * closed["features.3"] + 10 * closed["classifier"]) / 50_200
    )
    assert run.masks.kept.keys() == {"features.3", "classifier"}
    for name, mask in run.masks.kept.items():
        weight = run.masks.weights[name]
        assert (weight[~mask] == 0.0).all()
        assert int((~mask).any(0).sum()) == closed[name]
    assert all(expected > 0 for expected in results["gates_expected"].values())


def test_pixels_have_gates_with_outer_layer_pruning_only(make_run):
    run = make_run(f"--model LeNet300 {SHORT} --epochs 0 --outer_layer_pruning")
    assert L0Trainer(run).train()["gates"] == {"features.1": 64, "features.3": 300, "classifier": 100}


@pytest.mark.parametrize("model", ["LeNet300", "LeNet5", "ResNet18 --N 16"])
def test_the_finished_network_does_without_gates_what_it_did_with_them(make_run, model):
    run = make_run(f"{SHORT} --model {model} --epochs 1 --learning_rate 0.01 --l0_reg 0.1")
    trainer = L0Trainer(run)
    trainer.gates.attach()
    run.network.train()
    for inputs, targets in run.data.train.epoch(0):
        trainer.train_batch(inputs, targets)
    for log_alpha in trainer.gates.log_alpha.values():
        log_alpha.data.uniform_(-3.5, 4.6)
        log_alpha.data[::9] = 4.6
    trainer.average.steps = 0  # so that what is compared is the network as it is
    run.network.eval()
    gated = run.network(inputs)
    results = trainer.conclude()
    torch.testing.assert_close(run.network(inputs), gated, atol=1e-4, rtol=1e-4)
    assert 0 < results["weight_sparsity"] < 1
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in run.network.modules())


def test_the_checkpoint_is_a_plain_network(make_run):
    run = make_run(STRONG)
    results = L0Trainer(run).train()
    other = make_run("--model LeNet300 --seed 1")
    restore_checkpoint(
        find_checkpoint(run.folder.path.parent, run.folder.path.name, "LeNet300_finished"), other.network
    )
    evaluation = evaluate(other.network, other.loss, other.data.held_out, 10)
    assert evaluation.accuracy == results["test_accuracy"]
    assert evaluation.loss == pytest.approx(results["test_loss"])


def test_every_step_ends_with_a_clamp_and_moves_the_average(make_run):
    run = make_run(f"--model LeNet300 {SHORT} --optimizer SGD --learning_rate 1000 --grad_clip 0 --l0_reg 1000")
    trainer = L0Trainer(run)
    inputs, targets = next(run.data.train.epoch(0))
    trainer.gates.attach()
    trainer.train_batch(inputs, targets)
    lowest = min(float(log_alpha.detach().min()) for log_alpha in trainer.gates.log_alpha.values())
    assert lowest == pytest.approx(math.log(0.01))
    assert trainer.average.steps == 1
    before = copy.deepcopy(run.network.state_dict())
    trainer.average.write()
    for name, tensor in run.network.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_the_finished_network_has_the_moving_average_of_its_parameters(make_run):
    run = make_run(f"--model LeNet300 {SHORT} --optimizer SGD --learning_rate 0.1 --beta_ema 0.5")
    trainer = L0Trainer(run)
    trainer.gates.attach()
    bias, steps = run.network.classifier.bias, []  # which no gate is folded into
    for inputs, targets in itertools.islice(run.data.train.epoch(0), 2):
        trainer.train_batch(inputs, targets)
        steps.append(bias.detach().clone())
    assert not torch.equal(*steps)
    trainer.finish()
    # (0.5 * 0.5 first + 0.5 second) / (1 - 0.5^2)
    torch.testing.assert_close(bias.detach(), (steps[0] + 2 * steps[1]) / 3)


class Rows:
    """An observer that keeps the rows, and what it sees of the network meanwhile."""

    def __init__(self):
        self.rows, self.states = [], []

    @hookimpl
    def epoch_finished(self, run, figures):
        self.rows.append(figures)
        self.states.append(copy.deepcopy(run.network.state_dict()))


def test_each_epoch_shows_the_network_as_it_would_be_finished(make_run):
    def rows(epochs):
        run = make_run(f"{STRONG} --epochs {epochs}")
        manager, _ = plugin_manager()
        seen = Rows()
        manager.register(seen)
        run.hooks = manager.hook
        results = L0Trainer(run).train()
        return seen, results, run

    long, _, _ = rows(8)
    short, results, run = rows(7)
    # Looking at the network changes nothing, and the seventh epoch of eight is the end of seven.
    assert long.rows[6]["test_loss"] == short.rows[6]["test_loss"] == results["test_loss"]
    assert long.rows[6]["weight_sparsity"] == results["weight_sparsity"] > 0
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(tensor, long.states[6][name])
    expected = [row["expected_sparsity"] for row in long.rows]
    assert expected == sorted(expected)
    # P(z > 0) is 0.83 at first; 31,000 of 50,200 weights have a gate
    assert expected[0] >= 0.16 * 31_000 / 50_200


@pytest.mark.parametrize(
    "flags",
    [
        "--model LeNet5 --precision bf16",
        "--model LeNet5 --channels_last",
        "--model LeNet300 --optimizer SGD --grad_noise 0.1",
        "--model LeNet300 --optimizer LBFGS",
        "--model LeNet300 --prune_criterion SNIPitDuring --pruning_limit 0.9 --prune_freq 2 --epochs 14",
        "--model LeNet300 --disable_masking --beta_ema 0",
    ],
)
def test_it_goes_with_the_other_flags(make_run, flags):
    run = make_run(f"{SHORT} --epochs 2 --N 100 {flags}")
    results = L0Trainer(run).train()
    assert math.isfinite(results["test_loss"])
    for name, mask in run.masks.kept.items():
        assert (run.masks.weights[name][~mask] == 0.0).all()


def test_weights_pruned_during_training_do_not_come_back_with_the_average(make_run):
    run = make_run(
        f"{SHORT} --model LeNet300 --prune_criterion SNIPitDuring --snip_steps 1 --pruning_limit 0.9 --prune_delay 2 "
        "--epochs 6 --outer_layer_pruning --l0_reg 0"
    )
    assert L0Trainer(run).train()["weight_sparsity"] == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("optimizer", ["ADAM", "Rprop"])
def test_weight_decay_is_the_penalty_s_alone(make_run, optimizer):
    run = make_run(f"--model LeNet300 {SHORT} --optimizer {optimizer} --l2_reg 0.5 --grad_clip 0")
    trainer = L0Trainer(run)
    assert trainer.optimizer.defaults.get("weight_decay", 0) == 0
    run.network.classifier.weight.grad = torch.zeros_like(run.network.classifier.weight)
    trainer.adjust_gradients()
    assert (run.network.classifier.weight.grad == 0).all()
    assert run.loss.l2_reg == 0.5


def test_the_same_seed_gives_the_same_network(make_run):
    def state():
        run = make_run(f"--model LeNet300 {SHORT} --epochs 1")
        L0Trainer(run).train()
        return run.network.state_dict()

    first, again = state(), state()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--loss CrossEntropy", "needs the penalty of --loss L0CrossEntropy, not CrossEntropy"),
        ("--model LogisticRegression", "nothing to gate .* add --outer_layer_pruning"),
        ("--enable_rewinding", "cannot rewind or reinitialise"),
        ("--prune_criterion SNAP", "has gates on channels, and SNAP removes channels"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(make_run, flags, message):
    with pytest.raises(UserError, match=message):
        L0Trainer(make_run(f"--model LeNet300 --l0 {flags}"))
