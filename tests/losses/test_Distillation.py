"""What a teacher thinks, in the loss of the network that is trained."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.losses.Distillation import Distillation
from secateur.pruning.masks import Masks
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError


def taught_by(network, **options):
    loss = Distillation(Masks(nn.Linear(2, 2)), **options)
    loss._teaches = network
    return loss


def test_it_is_the_divergence_of_softened_probabilities_beside_the_cross_entropy():
    logits, targets = torch.tensor([[0.0, 2.0]], requires_grad=True), torch.tensor([0])
    taught = torch.tensor([[4.0 * math.log(3), 0.0]])  # at a temperature of 4: 3/4 and 1/4
    loss = taught_by(lambda _: taught, distillation_temperature=4, distillation_weight=0.75)
    student = [1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-0.5))]
    divergence = 0.75 * math.log(0.75 / student[0]) + 0.25 * math.log(0.25 / student[1])
    plain = math.log(1 + math.exp(2))
    found = loss.in_training(torch.zeros(1, 2), logits, targets)
    assert found.item() == pytest.approx(0.25 * plain + 0.75 * 16 * divergence)
    assert loss(logits, targets).item() == pytest.approx(plain)
    (gradient,) = torch.autograd.grad(taught_by(lambda _: taught, distillation_weight=1).in_training(
        torch.zeros(1, 2), logits, targets), logits)  # fmt: skip
    torch.testing.assert_close(gradient[0], 4 * (torch.tensor(student) - torch.tensor([0.75, 0.25])))


def test_the_mean_is_over_the_images_and_without_weight_it_is_the_cross_entropy():
    logits, targets, taught = torch.randn(6, 3), torch.arange(6) % 3, torch.randn(6, 3)
    loss = taught_by(lambda inputs: taught[: len(inputs)], distillation_weight=0.6)
    one = taught_by(lambda inputs: taught[:1], distillation_weight=0.6).in_training(logits[:1], logits[:1], targets[:1])
    twice = taught_by(lambda inputs: taught[:1].repeat(2, 1), distillation_weight=0.6)
    torch.testing.assert_close(twice.in_training(logits[:2], logits[:1].repeat(2, 1), targets[:1].repeat(2)), one)
    loss = taught_by(lambda inputs: taught, distillation_weight=0)
    torch.testing.assert_close(loss.in_training(logits, logits, targets), functional.cross_entropy(logits, targets))


def test_a_run_learns_from_the_network_of_another(make_run):
    command = "--model LogisticRegression --N 16 --epochs 1"
    taught = make_run(command)
    taught.save(f"{taught.model_name}_finished", epoch=1)
    command += " --seed 5 --loss Distillation"
    for name in (taught.folder.path.name, "latest"):
        run = make_run(f"{command} --teacher {name}")
        assert run.settings["teacher"] == str(taught.folder.path)
        trainer = DefaultTrainer(run)
        inputs, targets = next(iter(run.data.train))
        loss, logits = trainer.compute_loss(inputs, targets)
        expected = taught_by(taught.network).in_training(inputs, logits, targets)
        torch.testing.assert_close(loss, expected)
        teacher = run.loss._teaches
        assert not any(module.training for module in teacher.modules())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
    for flags, words in (
        ("", "--loss Distillation needs a teacher: --teacher RUN"),
        (f"--teacher {taught.folder.path} --input_dim 1 9 9", "does not take images of 1x9x9"),
        (f"--teacher {taught.folder.path} --output_dim 11", "has 10 classes, not 11"),
    ):
        run = make_run(f"{command} {flags}")
        with pytest.raises(UserError, match=words):
            DefaultTrainer(run).compute_loss(*next(iter(run.data.train)))
    with pytest.raises(UserError, match="--teacher: there is no run folder 'techer'"):
        make_run(f"{command} --teacher techer")
