import math

import pytest
import torch

from secateur.runs.checkpoint import replay_removals, restore_checkpoint
from secateur.runs.checkpoint_metadata import find_checkpoint
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.trainers.TickTock import TickTock
from secateur.utils.errors import UserError

SHORT = "--model ResNet20 --N 32 --batch_size 16 --prune_criterion GateDecorators --eval_freq 0"
CYCLE = f"{SHORT} --tick_epochs 2 --tock_epochs 1 --snip_steps 4"


@pytest.fixture
def make(make_run):
    return lambda flags: TickTock(make_run(f"{CYCLE} --pruning_limit 0.5 --epochs 7 {flags}"))


def randomise(trainer):
    """Give the gates values that are not 1, and the norms statistics of their own."""
    for gate in trainer.gates.gates.values():
        gate.data = torch.rand_like(gate) + 0.5
    inputs, _ = next(trainer.data.train.epoch(9))
    trainer.network.train()(inputs)
    trainer.network.eval()


def fraction_removed(trainer):
    """Of the nodes that can be removed, which in a ResNet of CIFAR are those within its blocks."""
    trainer.criterion.trace()
    return 1 - trainer.criterion.nodes / trainer.criterion.dense_nodes


def one_epoch(trainer):
    """Train an epoch; returns the names of the parameters and the gates that have moved."""
    parameters = {**dict(trainer.network.named_parameters()), **trainer.gates.gates}
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    trainer.train_epoch()
    return {name for name, parameter in parameters.items() if not torch.equal(parameter, before[name])}


def test_in_tick_the_gates_and_the_last_layer_are_trained_alone(make):
    trainer = make("")
    last = {name for name, _ in trainer.network.named_parameters() if name.startswith("classifier")}
    assert one_epoch(trainer) == {*trainer.gates.gates, *last}
    assert all(parameter.requires_grad for parameter in trainer.network.parameters())


def test_in_tock_everything_is(make):
    trainer = make("")
    trainer.epoch = 2
    everything = {*trainer.gates.gates, *dict(trainer.network.named_parameters())}
    assert one_epoch(trainer) == everything


def test_before_and_afterwards_there_are_no_gates(make):
    trainer = make("--pre_epochs 1")
    assert one_epoch(trainer) == set(dict(trainer.network.named_parameters()))
    trainer.epoch, trainer.pruner.pruning_steps = 6, {}
    assert one_epoch(trainer) == set(dict(trainer.network.named_parameters()))
    assert not trainer.gates.attached


def test_what_a_pruning_step_did_is_taken_in(make):
    trainer = make("")
    trainer.pruner.pruning_steps = {0: [0.2]}
    trainer.prune_as_planned()
    (step,) = trainer.pruner.steps
    assert trainer.seconds["pruning"] == step.seconds > 0


def test_the_penalty_is_tock_s_alone_and_pulls_every_gate_towards_zero(make):
    trainer = make("--gate_penalty 0.5")
    trainer.gates.attach()
    randomise(trainer)
    first = next(iter(trainer.gates.gates.values()))
    first.data[0] = -2.0
    inputs, targets = next(trainer.data.train.epoch(0))

    def loss_and_gradient():
        loss, _ = trainer.compute_loss(inputs, targets)
        return loss.item(), torch.autograd.grad(loss, first)[0]

    bare, gradient = loss_and_gradient()
    trainer.is_tock = True
    priced, pulled = loss_and_gradient()
    total = sum(float(gate.detach().abs().sum()) for gate in trainer.gates.gates.values())
    assert priced - bare == pytest.approx(0.5 * total, rel=1e-4)
    torch.testing.assert_close(pulled - gradient, 0.5 * first.detach().sign())


def test_the_target_is_met_and_the_finished_network_is_plain(make):
    trainer = make("--pruning_limit 0.8")
    results = trainer.train()
    assert fraction_removed(trainer) == pytest.approx(0.8, abs=0.01)
    assert not any(module._forward_hooks for module in trainer.network.modules())
    assert math.isfinite(results["test_loss"])


def test_folding_after_the_last_pruning_step_changes_no_output(make):
    trainer = make("--snip_steps 1 --epochs 1")
    trainer.gates.attach()
    randomise(trainer)
    inputs, _ = next(iter(trainer.data.held_out))
    expected = trainer.network(inputs)
    trainer.pruner.pruning_steps = {}
    trainer.prune_as_planned()
    assert not any(module._forward_hooks for module in trainer.network.modules())
    torch.testing.assert_close(trainer.network(inputs), expected, atol=1e-5, rtol=1e-4)


def test_pruning_keeps_the_gates_of_the_channels_that_stay(make):
    trainer = make("")
    trainer.train_epoch()
    randomise(trainer)
    trainer.pruner.step, trainer.epoch = 2, 1
    before = {name: gate.detach().clone() for name, gate in trainer.gates.gates.items()}
    trainer.prune_as_planned()
    assert trainer.gates.attached
    smaller = 0
    for name, gate in trainer.gates.gates.items():
        norm = trainer.network.get_submodule(name)
        assert gate.shape == norm.weight.shape
        assert set(gate.tolist()) <= set(before[name].tolist())
        assert trainer.optimizer.state[gate]["exp_avg"].shape == gate.shape
        smaller += len(gate) < len(before[name])
    assert smaller
    trainer.epoch = 1
    one_epoch(trainer)


def test_a_checkpoint_on_the_way_computes_what_the_network_does_with_its_gates(make, make_run):
    trainer = make("")
    trainer.train_epoch()
    trainer.pruner.step, trainer.epoch = 2, 1
    trainer.prune_as_planned()
    randomise(trainer)
    trainer.save("between", epoch=1)
    other = make_run("--model ResNet20 --seed 1")
    checkpoint = find_checkpoint(trainer.run.folder.path.parent, trainer.run.folder.path.name, "between")
    replay_removals(checkpoint, other.network, other.example)
    restore_checkpoint(checkpoint, other.network)
    inputs, _ = next(iter(trainer.data.held_out))
    expected = trainer.network(inputs)
    torch.testing.assert_close(other.network.eval()(inputs), expected, atol=1e-5, rtol=1e-4)


def test_a_run_that_is_stopped_between_has_a_plain_network_too(make):
    trainer = make("--max_training_minutes 1e-9")
    trainer.gates.attach()
    randomise(trainer)
    inputs, _ = next(iter(trainer.data.held_out))
    expected = trainer.network(inputs)
    trainer.train()
    assert not any(module._forward_hooks for module in trainer.network.modules())
    torch.testing.assert_close(trainer.network.eval()(inputs), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("trainer", [TickTock, DefaultTrainer])
@pytest.mark.parametrize(
    "flags",
    [
        "--precision bf16",
        "--optimizer SGD --grad_noise 0.1 --l1_reg 1e-4",
        "--pre_epochs 1 --lr_schedule cosine --compensate least_squares",
        "--saliency_loss nll_on_logits --invert_scores",
    ],
)
def test_it_goes_with_the_other_flags(make_run, trainer, flags):
    run = make_run(f"{CYCLE} --train_scheme {trainer.__name__} --pruning_limit 0.5 --epochs 6 {flags}")
    trained = trainer(run)
    assert math.isfinite(trained.train()["test_loss"])
    assert fraction_removed(trained) == pytest.approx(0.5, abs=0.01)


def test_the_scheme_brings_its_criterion(make_settings):
    assert make_settings("--train_scheme TickTock")["prune_criterion"] == "GateDecorators"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--prune_criterion SNAP", "prunes by the criterion GateDecorators, not SNAP"),
        ("--optimizer lbfgs", "LBFGS trains all parameters or none"),
        ("--enable_rewinding", "cannot rewind or reinitialise"),
        ("--reinitialise", "cannot rewind or reinitialise"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(make_run, flags, message):
    with pytest.raises(UserError, match=message):
        TickTock(make_run(f"{SHORT} --epochs 70 --train_scheme TickTock {flags}"))


def test_compiled_code_is_forgotten_when_gates_come_and_when_they_go(make, monkeypatch):
    resets = []
    monkeypatch.setattr(torch, "compile", lambda network: network)
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(trainer.pruner.step))
    trainer = make("--compile")
    trainer.train()
    assert resets == [0, 2 * 5]  # the fourth and last pruning step follows the fifth epoch
