"""Single steps of training, by hand, and what several processes draw and look at on the way."""

from types import SimpleNamespace

import torch

from secateur.trainers import DefaultTrainer as DefaultTrainer_module
from secateur.trainers.DefaultTrainer import DefaultTrainer
from tests.commands import PRUNED


def test_each_step_goes_against_the_gradient_of_its_own_batch(make_run):
    flags = "--N 64 --batch_size 32 --optimizer SGD --learning_rate 0.5 --grad_clip 0 --l2_reg 0"
    run = make_run(f"--model LogisticRegression {flags}")
    trainer, layer = DefaultTrainer(run), run.network.classifier
    weight, velocity = layer.weight.detach().clone(), torch.zeros_like(layer.weight)
    momentum = trainer.optimizer.param_groups[0]["momentum"]
    for inputs, targets in run.data.train.epoch(0):
        # the mean cross-entropy by the logits: (softmax - one-hot) / N
        by_logits = (inputs.flatten(1) @ weight.T + layer.bias.detach()).softmax(1)
        by_logits[range(len(targets)), targets] -= 1
        velocity = momentum * velocity + by_logits.T @ inputs.flatten(1) / len(targets)
        weight -= 0.5 * velocity
        trainer.train_batch(inputs, targets)
        torch.testing.assert_close(layer.weight.detach(), weight)


def test_processes_draw_alike_for_pruning_and_each_on_its_own_afterwards(make_run, monkeypatch):
    run = make_run(f"{PRUNED} --epochs 1")
    done = []
    monkeypatch.setattr(DefaultTrainer_module, "sync_rng", lambda device: done.append("alike"))
    monkeypatch.setattr(run.pruner, "prune_as_planned", lambda: done.append("pruned"))
    monkeypatch.setattr(DefaultTrainer_module, "fork_rng", lambda seed, moment: done.append((seed, moment)))
    trainer = DefaultTrainer(run)
    trainer.prune_as_planned()
    assert done == ["alike", "pruned", (run.options.seed, "step 0")]
    run.pruner.step = 1  # at which nothing is due
    trainer.prune_as_planned()
    assert done[3:] == ["pruned"]


def test_noise_is_the_same_for_all_processes_and_leaves_masked_gradients_alone(make_run, monkeypatch):
    trainer = DefaultTrainer(make_run(f"{PRUNED} --grad_noise 0.5 --grad_clip 0"))
    trainer.prune_as_planned()

    def from_the_first(tensors):
        for tensor in tensors:
            tensor.fill_(2.0)

    monkeypatch.setattr(DefaultTrainer_module.collectives, "broadcast_tensors", from_the_first)
    for parameter in trainer.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer.adjust_gradients()
    for name, mask in trainer.masks.kept.items():
        torch.testing.assert_close(trainer.masks.weights[name].grad, 2.0 * mask)
    torch.testing.assert_close(trainer.network.classifier.bias.grad, torch.full((10,), 2.0))


def test_numbers_are_looked_through_now_and_then_and_at_the_end_of_an_epoch(make_run, monkeypatch):
    trainer = DefaultTrainer(make_run("--model LogisticRegression --N 60 --batch_size 10"))
    clock, looked = SimpleNamespace(now=0.0), []
    trained = trainer.train_batch

    def train_batch(inputs, targets):
        trained(inputs, targets)
        clock.now += 6

    monkeypatch.setattr(trainer, "train_batch", train_batch)
    monkeypatch.setattr(DefaultTrainer_module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(DefaultTrainer_module, "check_numbers", lambda trainer: looked.append(clock.now))
    trainer.checked = 0.0
    trainer.train_epoch()
    assert looked == [12, 24, 36, 36]  # where ten seconds are over, and at the end
