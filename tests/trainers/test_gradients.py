"""What becomes of the gradients of a batch before the optimizer sees them, and how long the schedule lasts."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from secateur.trainers import DefaultTrainer as DefaultTrainer_module
from secateur.trainers.DefaultTrainer import DefaultTrainer

LINEAR = "--model LogisticRegression --N 60 --batch_size 20"


def gradients(trainer):
    """The gradients of a batch, with the optimizer at rest."""
    inputs, targets = next(trainer.data.train.epoch(0))
    trainer.optimizer.step = lambda *_: None
    trainer.train_batch(inputs, targets)
    return [parameter.grad.clone() for parameter in trainer.network.parameters()]


def test_the_gradient_of_a_part_counts_by_its_fraction(make_run):
    trainer = DefaultTrainer(make_run(f"{LINEAR} --grad_clip 0"))
    whole = gradients(trainer)
    trainer.fraction = 0.25
    for part, of in zip(gradients(trainer), whole, strict=True):
        torch.testing.assert_close(part, of / 4)


def test_a_step_scales_the_loss_takes_it_back_and_masks_what_has_moved(make_run, monkeypatch):
    trainer, done = DefaultTrainer(make_run(f"{LINEAR} --grad_clip 0")), []
    scaler = SimpleNamespace(
        scale=lambda loss: done.append("scale") or loss,
        unscale_=lambda optimizer: done.append(("unscale", optimizer)),
        step=lambda optimizer: done.append(("step", optimizer)),
        update=lambda: done.append("update"),
    )
    trainer.run.precision.scaler = scaler
    monkeypatch.setattr(trainer.pruner, "after_backward", lambda: done.append("shown to the criterion"))
    monkeypatch.setattr(trainer.masks, "apply_to_gradients", lambda: done.append("gradients masked"))
    monkeypatch.setattr(trainer.masks, "apply_to_weights", lambda: done.append("weights masked"))
    trainer.train_batch(*next(trainer.data.train.epoch(0)))
    optimizer = trainer.optimizer
    adjusted = ["shown to the criterion", "gradients masked"]
    assert done == ["scale", ("unscale", optimizer), *adjusted, ("step", optimizer), "update", "weights masked"]
    assert (trainer.means.batches, trainer.means.samples) == (1, 20)


@pytest.mark.parametrize(("processes", "joint"), [(1, False), (2, True)])
def test_batch_norms_are_joint_where_there_are_several_processes(make_run, monkeypatch, processes, joint):
    trainer, entered = DefaultTrainer(make_run(LINEAR)), []

    @contextlib.contextmanager
    def joint_batch_norm():
        entered.append(True)
        yield

    monkeypatch.setattr(DefaultTrainer_module, "size", lambda: processes)
    monkeypatch.setattr(DefaultTrainer_module, "joint_batch_norm", joint_batch_norm)
    monkeypatch.setattr(DefaultTrainer_module, "sum_gradients", lambda optimizer, loss: loss)
    trainer.train_batch(*next(trainer.data.train.epoch(0)))
    assert entered == [True] * joint


def test_a_penalty_is_added_to_the_loss(make_run, monkeypatch):
    trainer = DefaultTrainer(make_run(LINEAR))
    batch = next(trainer.data.train.epoch(0))
    bare, _ = trainer.compute_loss(*batch)
    monkeypatch.setattr(trainer.loss, "penalty", lambda: torch.tensor(0.5))
    priced, logits = trainer.compute_loss(*batch)
    torch.testing.assert_close(priced, bare + 0.5)
    torch.testing.assert_close(logits, trainer.network(batch[0]))


def test_an_optimizer_that_decays_weights_itself_gets_plain_gradients(make_run):
    plain = gradients(DefaultTrainer(make_run(f"{LINEAR} --optimizer SGD --grad_clip 0 --l2_reg 0")))
    decayed = gradients(DefaultTrainer(make_run(f"{LINEAR} --optimizer SGD --grad_clip 0 --l2_reg 0.5")))
    assert all(torch.equal(one, other) for one, other in zip(plain, decayed, strict=True))


@pytest.mark.parametrize(("rewinds", "steps"), [(False, 2 + 5 * 3 - 4), (True, 2 + 9 - 4)])
def test_the_schedule_lasts_to_the_end_or_with_rewinding_to_the_next_pruning_step(
    make_run, monkeypatch, rewinds, steps
):
    trainer = DefaultTrainer(make_run(f"{LINEAR} --epochs 5 --lr_schedule cosine"))
    asked = []
    monkeypatch.setattr(DefaultTrainer_module, "build_schedule", lambda *told: asked.append(told) or "schedule")
    trainer.pruner = SimpleNamespace(step=4, pruning_steps={1: [0], 4: [0], 12: [0], 9: [0]}, rewinds=rewinds)
    trainer.begin_schedule(2)
    assert asked == [("cosine", trainer.run.registry, trainer.optimizer, steps, 3, 2)]
    assert (trainer.schedule, trainer.schedule_began) == ("schedule", {"step": 4, "at": 2})
    trainer.begin_schedule()
    assert asked[1][3:] == (steps - 2, 3, 0)
    trainer.build_schedule()
    assert asked[2] == asked[1]


def test_an_image_costs_what_is_left_of_the_network_at_its_size(make_run, monkeypatch):
    trainer = DefaultTrainer(make_run(LINEAR))
    trainer.count_flops()
    assert trainer.flops == 2 * 640
    trainer.growing, trainer.epoch = SimpleNamespace(cost=lambda epoch: {0: 1, 3: 0.3}[epoch]), 3
    trainer.count_flops()
    assert trainer.flops == 384
