"""The lines that tell before a run which flags do nothing, in full."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from secateur.runs.checkpoint import save_checkpoint
from secateur.runs.notices import notices_of

RUN = "--model LeNet300 --N 16"
PLAIN = SimpleNamespace(namesake="", idle_options=dict)
UNNAMED = "with EmptyCrit: name a criterion with --prune_criterion"


@pytest.mark.parametrize(
    ("flags", "notices"),
    [
        ("--saliency_batches 5 --snip_steps 2", [f"--saliency_batches has no effect {UNNAMED}",
                                                 f"--snip_steps has no effect {UNNAMED}"]),
        ("--outer_layer_pruning", [f"--outer_layer_pruning has no effect {UNNAMED}"]),
        ("--outer_layer_pruning --l0", []),
        ("--lp_power 1 --saliency_batches 5", ["--lp_power has no effect without --lp_reg",
                                               f"--saliency_batches has no effect {UNNAMED}"]),
        ("--beta_ema 0.5", ["--beta_ema has no effect with EmptyCrit, CrossEntropy, DefaultTrainer"]),
        ("--dataset DIGITS --seed 3", []),
        ("--prune_criterion SNIP --saliency_batches 5 --outer_layer_pruning", []),
        ("--prune_criterion SNIP", ["not pruned without outer_layer_pruning: features.1, classifier, the first and the "
                                    "last layer"]),
        ("--precision bf16 --disable_masking", ["slow", f"--disable_masking has no effect {UNNAMED}"]),
    ],
)  # fmt: skip
def test_flags_that_do_nothing_are_told_with_the_reason(make_run, monkeypatch, flags, notices):
    run = make_run(f"{RUN} {flags}")
    monkeypatch.setattr(run.precision, "warning", lambda: "slow" if "bf16" in flags else None)
    assert sorted(notices_of(run, PLAIN)) == sorted(notices)
    assert (notices_of(run, PLAIN) or [""])[-1] in {"slow", "", *notices}


def test_a_name_that_others_use_otherwise_is_told_where_it_was_typed(make_run):
    named = SimpleNamespace(namesake="these are small", idle_options=dict)
    told = ["--data_set mnist: these are small"]
    for typed, given, notices in (("mnist", True, told), ("mnist", False, []), ("DIGITS", True, [])):
        run = make_run(RUN)
        given = run.settings.given | {"data_set"} if given else run.settings.given
        run.settings = replace(run.settings.with_values(data_set=typed), given=given)
        assert run.model_spec["data_set"] == "DIGITS"
        assert notices_of(run, named) == notices
        assert notices_of(run, PLAIN) == []


@pytest.mark.parametrize(
    ("execution", "device", "told"), [("sparse", "meta", 1), ("sparse", "cpu", 0), ("dense", "meta", 0)]
)
def test_zeros_are_skipped_on_cpus_alone(make_run, execution, device, told):
    run = make_run(RUN)
    run.machine = SimpleNamespace(execution=execution)
    run.device = torch.device(device)
    line = f"--execution {execution} skips zeros on CPUs alone: on {device} it is dense"
    assert notices_of(run, PLAIN) == [line] * told


@pytest.mark.parametrize(
    ("flags", "external", "told"),
    [
        ("--whitening", None, 0),
        ("--whitening", "weights.pth", 1),
        ("--whitening --partial_checkpoint", "weights.pth", 0),
        ("--whitening --reinitialise", "weights.pth", 0),
        ("", "weights.pth", 0),
    ],
)
def test_whitening_does_nothing_where_all_weights_are_loaded(make_run, make_settings, flags, external, told):
    run = make_run(RUN)
    run.settings = replace(
        make_settings(f"{RUN} {flags.replace('--partial_checkpoint', '')}"), external_weights=external
    )
    if "partial" in flags:
        run.settings = run.settings.with_values(partial_checkpoint=True)
    lines = [line for line in notices_of(run, PLAIN) if "whitening" in line]
    assert lines == ["--whitening has no effect where all weights are loaded"] * told


TESTED = "without effect with --eval, which trains and prunes nothing: "


@pytest.mark.parametrize(
    ("flags", "idle"),
    [
        ("--seed 3 --tuning --N 64", ""),
        ("--N 16", "--N"),
        ("--snip_steps 2 --compile --seed 3", "--compile, --snip_steps"),
        ("--train_scheme DefaultTrainer --pruner SNIP --saliency_batches 2", "--prune_criterion, --saliency_batches, "
                                                                             "--train_scheme"),
        ("--prune_delay 3 --epochs 2 --outer_layer_pruning --test_scheme Merging --merge_ratios 0.5 "
         "--saliency_batches 2", "--prune_delay"),
    ],
)  # fmt: skip
def test_what_training_alone_reads_is_told_in_a_line(make_run, flags, idle):
    trained = make_run("--model LeNet300 --N 16 --epochs 0")
    save_checkpoint(trained.folder.models / "LeNet300_finished", trained.network, trained.masks, trained.model_spec)
    run = make_run(f"--eval --checkpoint_name {trained.folder.path} {flags}")
    assert notices_of(run, PLAIN) == ([TESTED + idle] if idle else [])
