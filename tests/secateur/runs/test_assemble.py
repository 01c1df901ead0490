"""Flags without effect are told rather than ignored."""

import pytest

from secateur.runs.checkpoint import save_checkpoint


@pytest.mark.parametrize(
    ("command", "notices"),
    [
        ("--lp_power 1", ["--lp_power has no effect without --lp_reg"]),
        ("--lp_power 1 --lp_reg 0.1", []),
        ("--outer_layer_pruning", ["--outer_layer_pruning has no effect with EmptyCrit"]),
        ("--saliency_batches 5", ["--saliency_batches has no effect with EmptyCrit"]),
        ("--disable_masking", ["--disable_masking has no effect with EmptyCrit"]),
        ("--disable_masking --prune_criterion SNIP --outer_layer_pruning --saliency_batches 5", []),
        ("--epochs 3 --optimizer SGD", []),
        ("--l0_reg 2", ["--l0_reg has no effect with EmptyCrit, CrossEntropy, DefaultTrainer"]),
        ("--beta_ema 0.5", ["--beta_ema has no effect with EmptyCrit, CrossEntropy, DefaultTrainer"]),
        ("--l0 --l0_reg 2 --beta_ema 0.5", []),
    ],
)
def test_a_flag_without_effect_is_noticed(make_run, command, notices):
    found = make_run(f"--model LeNet300 --N 64 {command}").notices
    assert len(found) == len(notices)
    assert all(notice in line for notice, line in zip(notices, found, strict=True))


@pytest.mark.parametrize(
    ("command", "idle"),
    [
        ("--epochs 3 --optimizer SGD --snip_steps 3", "--epochs, --optimizer, --snip_steps"),
        ("--N 64 --save_freq 1 --compile --outer_layer_pruning", "--N, --compile, --outer_layer_pruning, --save_freq"),
        ("--N 64 --tuning --seed 1 --batch_size 7 --loss CrossEntropy --disable_confusion", None),
    ],
)
def test_what_only_training_reads_is_noticed_with_eval(make_run, command, idle):
    trained = make_run("--model LeNet300 --N 64 --epochs 0")
    save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
    run = make_run(f"--eval --checkpoint_name {trained.folder.path} {command}")
    wanted = [f"without effect with --eval, which trains and prunes nothing: {idle}"] if idle else []
    assert run.notices == wanted
    assert make_run(f"--eval --checkpoint_name {trained.folder.path} --pruner SNIP").model_spec == trained.model_spec


def test_a_checkpoints_masks_may_be_let_go(make_run):
    trained = make_run("--model LeNet300 --N 64 --epochs 0")
    save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
    assert make_run(f"--checkpoint_name {trained.folder.path} --disable_masking --epochs 0").notices == []
