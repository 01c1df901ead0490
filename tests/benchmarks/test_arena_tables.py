"""The tables of the arena's page, of runs that were made up."""

from pathlib import Path

from benchmarks.arena_tables import at_equal_flops, of_controls, of_panel, tuning
from secateur.reports.collect import RunRecord
from secateur.reports.comparisons import against_dense, controls, rankings
from secateur.reports.groups import group


def record(criterion, seed, accuracy, sparsity=0.9, flops=1.0, epochs=5, key="", **settings):
    """A finished run; its FLOPs are those of training."""
    said = {"model": "LeNet5", "data_set": "MNIST", "prune_criterion": criterion, "seed": seed, "epochs": epochs}
    results = {"test_accuracy": accuracy, "weight_sparsity": sparsity, "flops_training_total": flops}
    results["parameters_kept"] = round(1000 * (1 - sparsity))
    folder = Path(f"{criterion}_{seed}_{accuracy}_{key}")
    return RunRecord(folder, said | {"pruning_limit": 0.9} | settings, {}, results, classes=10)


def of_seeds(criterion, accuracies, **more):
    return [record(criterion, seed, accuracy, **more) for seed, accuracy in enumerate(accuracies, start=1)]


def rows(text, start):
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


DENSE = of_seeds("EmptyCrit", (0.9, 0.9, 0.9), sparsity=0.0, flops=10.0)


def test_methods_stand_in_the_order_of_their_ranks_with_what_was_reached():
    runs = [
        *DENSE,
        *of_seeds("SET", (0.5, 0.6, 0.7), sparsity=0.95, flops=2.0),  # zeros in its mask
        *of_seeds("RigL", (0.7, 0.7, 0.8), flops=2.5),
        *of_seeds("SNIP", (0.8, 0.8, 0.9), flops=3.0),
        *of_seeds("HoyerSquare", (0.8, 0.8, 0.8), sparsity=0.75, flops=9.0, hoyer_reg=0.1),
    ]
    groups = group(runs)
    text = of_panel(groups, against_dense(groups), rankings(groups))
    assert text.startswith("**LeNet5 on MNIST.** Dense: 90.00 % [90.00, 90.00], n = 3. ")
    # differences 40, 30 and 20 points: 30 +- 4.303 * 10 / sqrt(3)
    assert rows(text, "") == [
        "| criterion | mean rank | training FLOPs | 10x |",
        "| --- | --- | --- | --- |",
        "| SNIP | 1.00 | 0.30 | 83.33, -6.67 [-21.01, +7.68] |",
        "| RigL | 2.00 | 0.25 | 73.33, -16.67 [-31.01, -2.32] |",
        "| SET | 3.00 | 0.20 | 60.00, -30.00 [-54.84, -5.16], at 20x |",
        "| criterion | strength | compression | training FLOPs | accuracy |",
        "| --- | --- | --- | --- | --- |",
        "| HoyerSquare | hoyer_reg 0.1 | 4x | 0.90 | 80.00, -10.00 [-10.00, -10.00] |",
    ]


def test_at_equal_flops_a_method_is_compared_with_itself_at_equal_epochs():
    before = group([*DENSE, *of_seeds("SNIP", (0.8, 0.7), flops=2.5)])
    now = group([*DENSE, *of_seeds("SNIP", (0.85, 0.77), epochs=18, pre_epochs=2, flops=9.9)])
    text = at_equal_flops(now, against_dense(now), rankings(now), before)
    assert text.startswith("Dense: 90.00 % [90.00, 90.00], n = 3. Accuracy is")
    # gains of 5 and 7 points: 6 +- 12.706 * 1.414 / sqrt(2)
    assert rows(text, "SNIP") == [
        "| SNIP |  | 20 | 0.99 | 81.00, -9.00 [-59.82, +41.82] | 75.00 | +6.00 [-6.71, +18.71] |"
    ]
    assert rows(at_equal_flops(now, against_dense(now), [], []), "SNIP")[0].endswith("|  |  |")


def test_controls_stand_below_their_criterion():
    runs = [*DENSE, *(record("SNIP", seed, 0.8, key=f"0000000{seed}") for seed in (1, 2))]
    for seed, accuracy in ((1, 0.7), (2, 0.6)):
        of = {"control": "same_densities", "control_of": f"_0000000{seed}"}
        runs.append(record("UnstructuredRandom", seed, accuracy, **of))
    groups = group(runs)
    found = controls(groups, against_dense([one for one in groups if not one.control]))
    # differences 10 and 20 points: 15 +- 12.706 * 7.07 / sqrt(2)
    assert of_controls(found).splitlines()[2:] == [
        "| **SNIP**, 10x | 100 | 80.00 |  |  |",
        "| dense | 1,000 | 90.00 | -10.00 [-10.00, -10.00] | no test: all differences are equal |",
        "| random, same layer densities | 100 | 65.00 | +15.00 [-48.53, +78.53] | not distinguishable |",
    ]


def test_of_equal_trials_the_smallest_rate_is_chosen_and_guesses_choose_nothing():
    trials = {"SNIP": (0.5, 0.7, 0.7), "GRASP": (0.11, 0.1, 0.1)}
    runs = [
        record(criterion, 11, accuracy, learning_rate=rate)
        for criterion, accuracies in trials.items()
        for rate, accuracy in zip((0.03, 0.1, 0.3), accuracies, strict=True)
    ]
    text = tuning(runs)
    assert rows(text, "")[2:] == ["| GRASP | **11.00** | 10.00 | 10.00 |", "| SNIP | 50.00 | **70.00** | 70.00 |"]
    assert text.endswith("\n\nAt every rate GRASP guessed: these trials choose nothing.")
