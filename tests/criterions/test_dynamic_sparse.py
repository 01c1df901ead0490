"""Sparse all the time, but not the same weights."""

import pytest
import torch
from torch import nn

from secateur.criterions.RigL import RigL
from secateur.criterions.SET import SET
from secateur.pruning.plan import Timeline
from secateur.trainers.DefaultTrainer import DefaultTrainer
from secateur.utils.errors import UserError

BATCH = [(torch.randn(16, 12), torch.arange(16) % 5)]


def network():
    return nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 5))


@pytest.mark.parametrize("kind", [SET, RigL])
def test_every_layer_keeps_its_number_of_weights_at_every_update(build, kind):
    criterion = build(kind, network())
    criterion.times = [update / 10 for update in range(1, 7)]
    first = criterion.prune(0.8, BATCH)
    assert first.kept == round(0.2 * (12 * 30 + 30 * 5))
    counts = {name: int(mask.sum()) for name, mask in first.masks.items()}
    masks = [first.masks]
    for _ in range(6):
        with torch.no_grad():
            for name, weight in criterion.weights.items():
                weight[criterion.masks.kept[name]] = torch.randn(counts[name])
        step = criterion.prune(0.8, BATCH)
        assert {name: int(mask.sum()) for name, mask in step.masks.items()} == counts
        masks.append(step.masks)
    assert not torch.equal(masks[0]["0"], masks[-1]["0"])


def test_rigl_by_hand(build):
    layer, criterion = half_pruned(build, "--pruning_rate 0.99")
    # The gradient is the input. Half-way, 0.99 / 2 * (1 + cos(pi / 2)) of 2 weights is 0.99, and int() makes it 0.
    criterion.times = [0.5]
    batch = [(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), torch.tensor([0]))]
    step = criterion.prune(0.5, batch)
    assert step.masks[""].tolist() == [[True, True, False, False]]
    criterion.times, criterion.updates = [0.01], 0
    step = criterion.prune(0.5, batch)
    # Now one of two goes: the smaller; and the largest gradient of the others grows, from zero.
    assert step.masks[""].tolist() == [[True, False, False, True]]
    assert step.regrown[""].tolist() == [[False, False, False, True]]
    assert layer.weight.tolist() == [[3.0, 0.0, 0.0, 0.0]]


def test_set_drops_the_same_share_of_the_weights_of_each_sign(build):
    layer = nn.Linear(10, 1, bias=False)
    criterion = build(SET, layer, "--pruning_rate 0.5 --growing_rate 0")
    values = torch.tensor([[1.0, 2.0, -10.0, 0.0, 3.0, -20.0, -30.0, 4.0, 0.0, -40.0]])
    criterion.masks.set({"": values != 0})
    with torch.no_grad():
        layer.weight.copy_(values)
    criterion.prune(0.5, BATCH)
    assert layer.weight[layer.weight != 0].tolist() == [3, -30, 4, -40]


def half_pruned(build, flags):
    """A layer of four weights, two of which are pruned, whose gradient is the input."""
    layer = nn.Linear(4, 1, bias=False)
    criterion = build(RigL, layer, flags, lambda outputs, targets: outputs.mean())
    criterion.masks.set({"": torch.tensor([[True, True, False, False]])})
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -1.0, 0.0, 0.0]]))
    return layer, criterion


@pytest.mark.parametrize(
    ("gradient", "grows"),
    [([0.0, 0.0, 2.0, -9.0], 3), ([0.0, 0.0, -9.0, 2.0], 2), ([0.0, 0.0, -9.0, -2.0], 2), ([0.0, 0.0, 2.0, 9.0], 3)],
)
@pytest.mark.parametrize("growth", ["saliency", "training"])
def test_rigl_grows_where_the_gradient_is_large_whatever_its_sign(build, gradient, grows, growth):
    _, criterion = half_pruned(build, f"--pruning_rate 0.99 --growth_batches {growth}")
    criterion.times = [0.01]
    if growth == "training":
        criterion.after_backward({"": torch.tensor([gradient])})
        gradient = [0.0, 0.0, 1.0, 1.0]  # of other batches, which are not looked at
    step = criterion.prune(0.5, [(torch.tensor([gradient]), torch.tensor([0]))])
    assert step.regrown[""].nonzero().tolist() == [[0, grows]]


def test_rigl_leaves_out_what_overflows(build):
    _, criterion = half_pruned(build, "--pruning_rate 0.99 --growth_batches training")
    criterion.times = [0.01]
    criterion.after_backward({"": torch.tensor([[0.0, 0.0, 2.0, 1.0]])})
    criterion.after_backward({"": torch.tensor([[torch.nan, 0.0, torch.nan, torch.inf]])})
    assert criterion.prune(0.5, []).regrown[""].nonzero().tolist() == [[0, 2]]


def test_rigl_says_where_it_was_shown_no_gradient(build):
    _, criterion = half_pruned(build, "--growth_batches training")
    with pytest.raises(UserError, match="has seen no gradient"):
        criterion.prune(0.5, [])


def test_the_rate_of_rigl_falls_along_half_a_cosine_over_the_time_of_updates(build, plan_of):
    # 16 epochs of 10 batches: T_end is step 120, and there is no update at it or after.
    flags = "--pruning_rate 0.4 --update_steps 30 --epochs 16"
    assert plan_of(RigL, network(), flags) == {0.0: [0.5], 3.0: [0.5], 6.0: [0.5], 9.0: [0.5]}
    criterion = build(RigL, network(), flags)
    criterion.plan(Timeline(0, 16, 0, 1, 10))
    assert criterion.times == [0.25, 0.5, 0.75]
    rates = []
    for criterion.updates in (1, 2, 3):
        rates.append(criterion.drop_rate)
    assert rates == pytest.approx([0.2 * (1 + 0.5**0.5), 0.2, 0.2 * (1 - 0.5**0.5)])


def test_the_time_of_rigl_begins_with_its_mask_and_not_with_its_first_update(build):
    criterion = build(RigL, network(), "--update_steps 25 --prune_delay 5 --pre_epochs 3 --epochs 20")
    plan = criterion.plan(Timeline(3, 20, 5, 1, 10))
    assert list(plan.pruning_steps) == [30, 105, 130, 155]  # T_end is step 30 + 150
    assert criterion.times == [0.5, 100 / 150, 125 / 150]


def test_rigl_grows_by_the_gradient_that_the_last_step_of_training_was_made_with(make_run):
    run = make_run(
        "--model LeNet300 --N 64 --batch_size 16 --epochs 4 --prune_criterion RigL --update_steps 3 --eval_freq 0 "
        "--growth_batches training --outer_layer_pruning --pruning_limit 0.8"
    )
    trainer = DefaultTrainer(run)
    expected, grown = {}, []
    criterion, after_backward, on_step = run.criterion, run.criterion.after_backward, trainer.pruner.on_step

    def seen(gradients):
        expected.update({name: gradient.clone() for name, gradient in gradients.items()})
        after_backward(gradients)

    def pruned(step):
        if step.regrown:
            grown.append(all(torch.equal(step.scores[name], expected[name].abs()) for name in step.scores))
        on_step(step)

    criterion.after_backward, trainer.pruner.on_step = seen, pruned
    trainer.train()
    assert grown == [True, True, True]  # after 3, 6 and 9 of 16 steps
    assert all((gradient != 0).float().mean() > 0.3 for gradient in expected.values())  # dense


def test_a_growing_rate_of_its_own_changes_the_number(build):
    criterion = build(SET, nn.Linear(10, 10), "--pruning_rate 0.5 --growing_rate 0.1")
    assert [criterion.prune(0.6, BATCH).kept for _ in range(2)] == [40, 24]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pattern 2:4", "--pattern 2:4 would not outlast the updates of SET"),
        ("--prune_schedule linear", "SET starts at the limit and stays there"),
        ("--prune_moment after", "SET starts at the limit and stays there"),
        ("--experiment multishot", "SET starts at the limit and stays there"),
        ("--disable_masking", "SET regrows weights, which --disable_masking leaves no record of"),
        ("--pattern 2:4 --shuffle_masks", "--shuffle_masks would destroy the --pattern"),
    ],
)
def test_what_the_updates_would_not_keep_to_is_refused(build, flags, message):
    with pytest.raises(UserError, match=message):
        build(SET, network(), flags)


def test_random_growth_is_new_at_each_update(build):
    criterion = build(SET, nn.Linear(50, 50))
    criterion.prune(0.9, [])
    first = criterion.prune(0.9, []).regrown[""]
    second = criterion.prune(0.9, []).regrown[""]
    assert not torch.equal(first, second)
