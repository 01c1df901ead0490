"""secateur.run, report and names."""

import pytest
import torch

import secateur


def test_a_run_is_that_of_the_command_line(tmp_path, run):
    flags = {"model": "LeNet300", "prune_criterion": "SNIP", "epochs": 1, "N": 64, "input_dim": [1, 10, 10]}
    result = secateur.run(**flags, disable_netplot=True, tuning=False, results_dir=tmp_path / "own")
    outcome = run("--model LeNet300 --prune_criterion SNIP --epochs 1 --N 64 --input_dim 1 10 10 --disable_netplot")
    same = ("test_accuracy", "test_loss", "weight_sparsity", "parameters_kept", "flops_effective", "seed")
    assert {name: result.results[name] for name in same} == {name: outcome.results[name] for name in same}
    assert result.folder.parent == tmp_path / "own"
    assert result.network(torch.zeros(2, 1, 10, 10)).shape == (2, 10)


def test_what_the_command_line_refuses_is_a_value_error_of_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"unknown flag --epoch.: did you mean --epochs"):
        secateur.run(epochz=2, results_dir=tmp_path)
    with pytest.raises(ValueError, match="--epochs/--post_epochs: -1 is out of range"):
        secateur.run(epochs=-1, results_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_the_page_that_the_command_line_writes(tmp_path):
    for seed in (1, 2):
        flags = {"model": "LeNet300", "epochs": 1, "N": 64, "seed": seed, "disable_netplot": True}
        secateur.run(**flags, results_dir=tmp_path)
    page = secateur.report(tmp_path, name="mine")
    assert page.name == "report.html"
    assert page.parent.parent == tmp_path
    assert "LeNet300 on DIGITS" in page.read_text(encoding="utf-8")


def test_names_are_those_of_the_folders():
    assert {"SNIP", "SNAPit", "EmptyCrit"} <= set(secateur.names("criterions"))
    assert "Cosine" in secateur.names("lr_schedules")
    with pytest.raises(ValueError, match="there is no kind 'criteria': did you mean criterions"):
        secateur.names("criteria")
