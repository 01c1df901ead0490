"""What trainers with gates keep beside the network, and what the network is while it is looked at."""

import pytest
import torch

from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.trainers.L0Trainer import L0Trainer
from secateur.trainers.TickTock import TickTock
from secateur.utils.errors import UserError

L0 = "--model LeNet300 --l0 --N 100 --batch_size 50 --beta_ema 0.5 --epochs 2"
TICK = "--model ResNet20 --N 32 --batch_size 16 --prune_criterion GateDecorators --eval_freq 0 --tick_epochs 1"
TICK += " --tock_epochs 1 --snip_steps 2 --pruning_limit 0.5 --epochs 4"


def stepped(make_run):
    """A trainer of gates after two steps, with its gates attached."""
    trainer = L0Trainer(make_run(L0))
    trainer.gates.attach()
    for inputs, targets in trainer.data.train.epoch(0):
        trainer.train_batch(inputs, targets)
    return trainer


def parameters(trainer):
    found = [*trainer.network.parameters(), *trainer.gates.log_alpha.values()]
    return [parameter.detach().clone() for parameter in found]


def test_gates_and_their_average_go_on_from_a_state(make_run):
    trainer, other = stepped(make_run), L0Trainer(make_run(f"{L0} --seed 1"))
    state = trainer.state_dict()
    assert state["gates"].keys() == trainer.gates.log_alpha.keys()
    other.load_state_dict(state)
    assert all(map(torch.equal, parameters(other), parameters(trainer)))
    trainer.finish()
    other.gates.attach()
    other.finish()
    assert all(map(torch.equal, parameters(other), parameters(trainer)))


def test_while_it_is_looked_at_the_network_is_finished_and_afterwards_as_before(make_run, monkeypatch):
    trainer = stepped(make_run)
    before, seen = parameters(trainer), []

    def look(*_, **told):
        assert not trainer.gates.attached
        seen.append((parameters(trainer), told))

    monkeypatch.setattr(DefaultTrainer, "conclude_epoch", look)
    monkeypatch.setattr(DefaultTrainer, "save", look)
    trainer.conclude_epoch()
    trainer.save("between", epoch=1)
    assert trainer.gates.attached
    assert all(map(torch.equal, parameters(trainer), before))
    assert [told for _, told in seen] == [{}, {"epoch": 1}]
    with trainer.as_finished():
        finished = parameters(trainer)
        with trainer.as_finished():  # which it is already
            assert all(map(torch.equal, parameters(trainer), finished))
    for found, _ in seen:
        assert all(map(torch.equal, found, finished))
        assert not all(map(torch.equal, found, before))


def test_gates_are_for_parameters_that_are_trained_and_rows_tell_what_is_expected(make_run):
    run = make_run(L0)
    run.network.classifier.bias.requires_grad_(False)
    trainer = L0Trainer(run)
    assert len(trainer.average.parameters) == 5 + 2  # of six parameters one rests; two layers have gates
    assert run.loss.images == 100
    assert run.loss.gates is trainer.gates
    trainer.epoch_seconds = 1.0
    assert trainer.figures()["expected_sparsity"] == trainer.gates.expected_sparsity()


@pytest.mark.parametrize("flag", ["--reinitialise", "--enable_rewinding"])
def test_gates_fit_no_network_that_starts_again(make_run, flag):
    with pytest.raises(UserError, match=r"^--train_scheme L0Trainer cannot rewind or reinitialise"):
        L0Trainer(make_run(f"{L0} {flag}"))


def test_gates_of_norms_go_on_from_a_state(make_run):
    trainer, other = TickTock(make_run(TICK)), TickTock(make_run(TICK))
    trainer.gates.attach()
    for gate in trainer.gates.gates.values():
        gate.data.uniform_(0.5, 1.5)
    other.load_state_dict(trainer.state_dict())
    assert other.gates.attached
    assert all(torch.equal(gate, other.gates.gates[name]) for name, gate in trainer.gates.gates.items())


def test_the_gates_have_a_price_in_tock_alone(make_run, monkeypatch):
    trainer, seen = TickTock(make_run(f"{TICK} --pre_epochs 1")), []
    rests = trainer.rests_in_tick

    def train_epoch(self):
        still = not any(parameter.requires_grad for parameter in rests)
        seen.append((self.is_tock, still, self.gates.attached))

    monkeypatch.setattr(DefaultTrainer, "train_epoch", train_epoch)
    for trainer.epoch in range(4):
        trainer.train_epoch()
    trainer.pruner.pruning_steps = {}
    trainer.train_epoch()
    tick, tock = (False, True, True), (True, False, True)
    assert seen == [(False, False, False), tick, tock, tick, (False, False, True)]
    assert all(parameter.requires_grad for parameter in rests)


def test_the_optimizer_of_tick_tock_has_a_group_for_what_rests_the_last_layer_and_the_gates(make_run):
    trainer = TickTock(make_run(f"{TICK} --learning_rate 0.5 --l2_reg 0.25 --optimizer SGD"))
    groups = [[id(parameter) for parameter in group["params"]] for group in trainer.optimizer.param_groups]
    expected = [trainer.rests_in_tick, trainer.trained_in_tick, trainer.gates.gates.values()]
    assert groups == [[id(parameter) for parameter in group] for group in expected]
    assert [(group["lr"], group["weight_decay"]) for group in trainer.optimizer.param_groups] == [(0.5, 0.25)] * 3
