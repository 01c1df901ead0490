"""What a test of one network and of several comes to, worked by hand from what the evaluations return."""

from types import SimpleNamespace

import pytest
import torch

from secateur.measuring.evaluation import Evaluation
from secateur.testers import DefaultTester as DefaultTester_module
from secateur.testers.DefaultTester import COMPARED, DefaultTester
from secateur.testers.Sensitivity import Sensitivity
from secateur.utils.errors import UserError

LINEAR = "--model LogisticRegression --data_set DIGITS --N 20"
#: Ten classes: of the first both images are right, of the second one of four, of the third the only one.
CONFUSION = torch.zeros(10, 10, dtype=torch.int64)
CONFUSION[0, 0], CONFUSION[1, 1], CONFUSION[1, 2], CONFUSION[2, 2] = 2, 1, 3, 1


@pytest.fixture
def answers(monkeypatch):
    """Evaluations that are returned in turn, each after two seconds; and with what each was asked for."""
    left, asked, clock = [], [], SimpleNamespace(now=5.0)

    def evaluate(*arguments):
        asked.append(arguments)
        clock.now += 2
        return left.pop(0)

    monkeypatch.setattr(DefaultTester_module, "evaluate", evaluate)
    monkeypatch.setattr(DefaultTester_module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return left, asked


def test_the_result_of_a_network_has_the_accuracy_of_each_class_and_the_speed(evaluating, answers):
    left, asked = answers
    evaluation = Evaluation(1.25, 0.5, CONFUSION, 0.75)
    left.append(evaluation)
    run = evaluating("", LINEAR)
    results = DefaultTester(run).evaluate()
    assert asked == [(run.executed, run.loss, run.data.held_out, 10, run.precision.autocast)]
    assert run.hooks.calls == [("evaluated", {"run": run, "evaluation": evaluation})]
    assert (results["test_loss"], results["test_accuracy"], results["test_top5_accuracy"]) == (1.25, 0.5, 0.75)
    assert results["class_accuracies"] == [1, 0.25, 1, *[0] * 7]
    assert (results["seconds_testing"], results["samples_per_second"]) == (2, 360 / 2)
    assert "compared" not in results


def test_without_a_confusion_matrix_there_are_no_accuracies_of_classes(evaluating, answers):
    answers[0].append(Evaluation(1.25, 0.5, None))
    assert "class_accuracies" not in DefaultTester(evaluating("", LINEAR)).evaluate()


@pytest.mark.parametrize(("flags", "held_out"), [("", "test"), ("--tuning", "validation")])
def test_a_table_shows_each_of_several_networks_by_what_was_measured(evaluating, answers, flags, held_out):
    evaluations = [Evaluation(1.25, 0.5, None), Evaluation(2.5, 0.25, None)]
    answers[0].extend(evaluations)
    run = evaluating(flags, LINEAR, f"{LINEAR} --seed 4")
    results = DefaultTester(run).evaluate()
    # 64 pixels and ten classes: 640 weights and ten biases
    whole = {"weight_sparsity": 0.0, "node_sparsity": 0.0, "parameters_kept": 650, "flops_effective": 1280}
    rows = [
        {"network": "net0", f"{held_out}_accuracy": 0.5, f"{held_out}_loss": 1.25, **whole},
        {"network": "net1", f"{held_out}_accuracy": 0.25, f"{held_out}_loss": 2.5, **whole},
    ]
    ((name, title, shown, forms),) = run.hooks.tables
    assert (name, title, forms) == ("compared", "2 networks on DIGITS", COMPARED)
    assert [{column: row[column] for column in sorted(row)} for row in shown] == [
        {column: row[column] for column in sorted(row)} for row in rows
    ]
    assert list(results["compared"]) == ["net0", "net1"]
    assert results["compared"]["net1"][f"{held_out}_loss"] == 2.5
    assert results[f"{held_out}_loss"] == 1.25
    # Observers look at the network of the run alone.
    told = [arguments for what, arguments in run.hooks.calls if what == "evaluated"]
    assert told == [{"run": run, "evaluation": evaluations[0]}]


def test_what_tests_one_network_takes_no_two(evaluating):
    with pytest.raises(UserError, match=r"^Sensitivity tests one network: name one run with --checkpoint_name$"):
        Sensitivity(evaluating("", LINEAR, LINEAR))
