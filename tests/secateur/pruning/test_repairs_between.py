"""Repairs between pruning steps, and on some of the images."""

import pytest
import torch

import secateur
from secateur.pruning import repair as repairs
from secateur.pruning.masks import Masks
from secateur.pruning.repair import REPAIRS, Reference
from tests.secateur.pruning.test_repair import BATCHES, IMAGES, network


def test_repairs_between_steps_let_the_next_step_score_what_was_repaired():
    """As pruning, repairing and pruning on by hand; the last step has the repairs of `repair`."""
    options = {"batches": BATCHES, "outer_layer_pruning": True, "distribution": "uniform"}
    found, result = network(), None
    result = secateur.prune(
        found, "Magnitude", sparsity=0.75, prune_schedule="exponential", snip_steps=2, repair=["bias"],
        repair_between=["least_squares", "bn"], saliency_batches=3, **options,
    )  # fmt: skip
    assert [step.sparsity for step in result.steps] == [0.5, 0.75]
    assert [[one.name for one in step.repairs] for step in result.steps] == [["least_squares", "bn"], ["bias"]]
    wanted = network()
    for sparsity, names in ((0.5, ["least_squares", "bn"]), (0.75, ["bias"])):
        secateur.prune(wanted, "Magnitude", sparsity=sparsity, **options).pruner.detach()
        secateur.repair(wanted, network(), names, batches=BATCHES)
    for ours, theirs in zip(found.state_dict().values(), wanted.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_repairs_between_steps_need_several_steps(make_run):
    command = "--model LeNet300 --N 64 --prune_criterion Magnitude --repair_between least_squares --outer_layer_pruning"
    idle = "--repair_between has no effect without several pruning steps at once: see --prune_schedule"
    assert make_run(command).notices == [idle]
    assert make_run(f"{command} --prune_schedule linear --prune_moment during --epochs 5").notices == [idle]
    assert make_run(f"{command} --prune_schedule linear").notices == []


def test_layers_may_be_looked_at_by_some_of_the_images_alone():
    """All 60 decide what the outputs are."""
    found, inputs = network().eval(), []
    reference = Reference(found, BATCHES, most=25)
    torch.testing.assert_close(reference.outputs, found(IMAGES).detach())
    torch.testing.assert_close(reference.means["1"], found[:2](IMAGES[:25]).mean((0, 2, 3)).detach())
    found[0].register_forward_pre_hook(lambda _, given: inputs.append(len(given[0])))
    for name in ("bn", "bias", "least_squares"):
        REPAIRS[name](found, reference, Masks(found), repairs.Steps())
    assert inputs == [25, 25, 25]
    reference.layer_error(found)
    reference.output_error(found)
    assert inputs[3:] == [25, 25]
    missing = (reference.outputs[:25] - found(IMAGES[:25])).detach()
    wanted = missing.square().sum() / reference.outputs[:25].square().sum()
    assert reference.output_error(found) == pytest.approx(float(wanted))


def test_a_repair_says_whether_it_was_undone():
    made = repairs.Repair("bn", 0.123456, 0.5, False, 1.0)
    assert str(made) == "repair bn: error 0.1235 -> 0.5"
    assert str(repairs.Repair("bias", 2.0, 2.0, True, 1.0)) == "repair bias: error 2 -> 2, and was undone"


def test_repairs_between_steps_alone_are_told_of_no_other():
    options = {"prune_schedule": "linear", "snip_steps": 2, "repair_between": ["bn"], "enable_rewinding": True}
    pruner = secateur.Pruner(network(), "Magnitude", batches=BATCHES, at_once=True, **options)
    assert [[one.name for one in step.repairs] for step in pruner.steps] == [["bn"], []]
    assert not any("--repair" in notice for step in pruner.steps for notice in step.notices)
