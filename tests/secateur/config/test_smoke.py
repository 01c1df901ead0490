"""Smoke runs: which of a grid's runs are made, and what is left of a run."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.config.smoke import few_of
from secateur.criterions.SNIPitDuring import SNIPitDuring


def product(**lists):
    return [dict(zip(lists, ((word,) for word in words), strict=True)) for words in itertools.product(*lists.values())]


def test_of_a_product_as_many_runs_are_made_as_the_longest_list_has_values():
    runs = product(model=["A", "B", "C"], prune_criterion=["SNIP", "GRASP"], seed=["1", "2", "3", "10"])
    chosen = [runs[number] for number in few_of(runs)]
    assert len(chosen) == 3
    assert {run["model"] for run in chosen} == {("A",), ("B",), ("C",)}
    assert {run["prune_criterion"] for run in chosen} == {("SNIP",), ("GRASP",)}
    assert {run["seed"] for run in chosen} == {("1",), ("10",)}  # the smallest and the largest, as numbers


def test_a_flag_that_only_some_runs_have_is_seen_with_and_without():
    runs = [{"seed": ("1",)}, {"seed": ("1",), "nesterov": ()}, {"seed": ("1",), "nesterov": (), "k": ("a", "b")}]
    assert few_of(runs) == [0, 2]
    assert few_of(runs[:1]) == [0]


words = st.sampled_from(["A", "B", "C", "0.5", "2", "10", "1e-3"])


@given(st.lists(st.dictionaries(st.sampled_from("xyz"), st.tuples(words), min_size=1), min_size=1, max_size=8))
def test_every_value_that_is_no_number_is_in_a_run(runs):
    chosen = few_of(runs)
    assert chosen == sorted(set(chosen))
    for flag in {flag for run in runs for flag in run}:
        of_texts = {run[flag] for run in runs if flag in run and run[flag][0] in "ABC"}
        assert of_texts <= {runs[number].get(flag) for number in chosen}


def test_what_makes_a_run_long_is_reduced_and_the_rest_is_not(make_settings):
    command = "--prune_criterion GateDecorators --epochs 70 --pre_epochs 80 --prune_delay 0 --learning_rate 0.5"
    settings = make_settings(f"--smoke {command}")
    assert (settings["epochs"], settings["pre_epochs"], settings["prune_delay"]) == (4, 1, 0)
    assert (settings["tick_epochs"], settings["tock_epochs"]) == (1, 1)  # options of the criterion
    assert (settings["N"], settings["learning_rate"]) == (None, 0.5)
    assert settings["disable_netplot"]
    plain = make_settings(command)
    assert (plain["epochs"], plain["pre_epochs"], plain["tick_epochs"]) == (70, 80, 10)
    assert not plain["disable_netplot"]
    assert make_settings("--epochs 2")["epochs"] == make_settings("--epochs 2 --smoke")["epochs"] == 2


def test_a_smoke_run_has_few_images_in_small_batches(make_run):
    data = make_run("--smoke --model LeNet300 --batch_size 64 --N 80").data
    assert (data.train.batch_size, len(data.train.images), len(data.held_out.images)) == (2, 2, 2)


def test_of_a_testers_lists_the_last_value_stays(make_settings):
    command = "--smoke --eval --test_scheme Sparsification --k_vals 0,0.5,0.9,0.99 --input_dim 1 8 8"
    settings = make_settings(command)
    assert settings["k_vals"] == [0.99]
    assert settings["input_dim"] == [1, 8, 8]
    assert make_settings(command.replace("0,0.5,0.9,0.99", "0.5"))["k_vals"] == [0.5]


def test_of_a_schedule_the_last_steps_stay(make_run):
    plan = make_run("--smoke --model LeNet300 --prune_criterion SNIPitDuring --pruning_limit 0.98 --prune_delay 4").plan
    assert plan.epochs == 4
    assert SNIPitDuring.timing == "during"
    assert plan.pruning_steps == {1: [0.965], 2: [0.98]}  # before the epochs 1 and 2, of one batch each


@pytest.mark.parametrize(
    ("data_set", "shape", "classes"),
    [("CIFAR100", (3, 32, 32), 100), ("FashionMNIST", (1, 28, 28), 10), ("OMNIGLOT", (1, 28, 28), 1623)],
)
def test_what_is_not_there_is_synthetic_in_its_shape_and_said_in_a_line(make_run, data_set, shape, classes):
    run = make_run(f"--smoke --model LeNet300 --data_set {data_set}")
    assert (run.data.input_shape, run.data.num_classes) == (shape, classes)
    assert len(run.data.train.images) == len(run.data.held_out.images) == 2
    assert [notice.partition(":")[0] for notice in run.notices] == ["--smoke"]
    assert "synthetic images" in run.notices[0]
    assert "\n" not in run.notices[0]


def test_what_is_there_is_used(make_run):
    run = make_run("--smoke --model LeNet300 --data_set DIGITS --tuning")
    assert run.notices == []
    assert (run.data.held_out_name, len(run.data.held_out.images)) == ("validation", 2)


def test_results_and_index_tell_a_smoke_run_and_its_grid_has_a_folder_of_its_own(run, tmp_path):
    outcome = run("--smoke --model LeNet300 --prune_criterion SNAPit")
    assert outcome.status == 0, outcome.err
    assert outcome.results["smoke"] is True
    assert "latency_ms_batch_1" not in outcome.results  # takes longer than the run
    assert run("--model LeNet300 --N 20 --epochs 1").results["smoke"] is False
    grid = "--model LeNet300 --seed 1,2,3,4 --run_name all --dry_run"
    assert "grid_all_smoke\n" in (out := run(f"{grid} --smoke").out)
    assert "of 4 runs" in out
    assert "2 runs: 0 done" in out
    assert "grid_all\n" in run(grid).out
