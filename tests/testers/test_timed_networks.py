"""What the testers ask of the clock, and the rows, ratios and figures that they make of times that a test sets."""

from types import SimpleNamespace

import pytest
import torch

from secateur.measuring.evaluation import Evaluation
from secateur.testers import Tradeoff as Tradeoff_module
from secateur.testers.DefaultTester import DefaultTester
from secateur.testers.Speed import FORMS as SPEED_FORMS
from secateur.testers.Speed import Speed
from secateur.testers.Tradeoff import FORMS as TRADEOFF_FORMS
from secateur.testers.Tradeoff import Tradeoff
from secateur.utils.errors import UserError

LINEAR = "--model LogisticRegression --data_set DIGITS --N 20"
MLP = "--model MLP5 --hidden_dim 20 --data_set DIGITS --N 20"


@pytest.mark.parametrize(("threads", "shown"), [(1, "1 thread"), (2, "2 threads")])
def test_each_network_is_compared_with_the_dense_one_of_its_kind(evaluating, calls_of, monkeypatch, threads, shown):
    run = evaluating("--test_scheme Speed --speed_batch_sizes 4,2 --speed_seconds .5", LINEAR, MLP)
    linear, mlp = "LogisticRegression, dense", "MLP5, hidden_dim 20, dense"
    fewer = {"net0": 2.0, "net1": run.compared["net1"].flops.total}  # of the second no weight is left
    operations = {id(one): one.flops.total / fewer[label] for label, one in run.compared.items()}
    operations[id(run.compared["net1"])] = 0
    monkeypatch.setattr("secateur.testers.Speed.network_flops", lambda one: operations[id(one)])
    monkeypatch.setattr("secateur.testers.Speed.dense_network", lambda one: f"dense {one.model_name}")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    times = {linear: 8.0, mlp: 32.0, "net0": 2.0, "net1": 64.0}
    asked = calls_of("Speed.latencies", {2: times, 4: dict.fromkeys(times)})
    drawn = calls_of("Speed.speed")
    results = Speed(run).evaluate()
    networks = {linear: "dense LogisticRegression", mlp: "dense MLP5"}
    networks |= {label: one.executed for label, one in run.compared.items()}
    assert asked == [(run, networks, [4, 2], 0.5 * 4)]
    columns = ("batch_ms", "images_per_second", "times_as_fast", "flops_ratio", "realised")
    ratio = fewer["net1"]
    figures = {
        linear: ((8.0, 250.0, 1.0, 1.0, 1.0), 1.0),
        mlp: ((32.0, 62.5, 1.0, 1.0, 1.0), 1.0),
        "net0": ((2.0, 1000.0, 4.0, 2.0, 2.0), 2.0),
        "net1": ((64.0, 31.25, 0.5, ratio, 0.5 / ratio), ratio),
    }
    rows = []
    for label, (taken, flops_ratio) in figures.items():
        rows.append({"network": label, "batch_size": 2} | dict(zip(columns, taken, strict=True)))
        rows.append({"network": label, "batch_size": 4} | dict.fromkeys(columns) | {"flops_ratio": flops_ratio})
    assert results["speed"] == rows
    assert results["threads"] == threads
    title = f"speed on cpu, {shown}, float32, images of 1x8x8"
    assert run.hooks.tables[1:] == [("speed", title, rows, SPEED_FORMS)]
    assert drawn == [(rows, {linear, mlp}, title, run.folder.output / "speed.png")]


@pytest.fixture
def tradeoff(evaluating, bar_of, monkeypatch):
    """Build the tester, whose evaluations are of accuracy 0.5, and what its progress bar is told."""

    def make(flags, *commands):
        evaluation = Evaluation(1.0, 0.5, None)
        monkeypatch.setattr(DefaultTester, "on_held_out", lambda self, run, network: evaluation)
        return Tradeoff(evaluating(f"--tradeoff {flags}", *commands)), *bar_of("Tradeoff")

    return make


def test_networks_pruned_to_each_budget_stand_behind_those_that_are_compared(tradeoff, calls_of, monkeypatch):
    tester, bars, steps = tradeoff("--tradeoff_budgets .5,.25,.125 --tradeoff_images 2", LINEAR, MLP)
    run, shares = tester.run, []

    def pruned_to(share):
        shares.append(share)
        if share == 0.25:
            raise UserError("it cannot be reached")
        return run.network, f"run {share}"

    monkeypatch.setattr(tester, "pruned_to", pruned_to)
    half, eighth = "net0, 0.5 of the latency", "net0, 0.125 of the latency"
    asked = calls_of("Tradeoff.latencies", {2: {"net0": 8.0, "net1": 2.0, half: 4.0, eighth: None}})
    drawn = calls_of("Tradeoff.tradeoff")
    results = tester.evaluate()
    assert shares == [0.5, 0.25, 0.125]
    networks = {label: one.executed for label, one in run.compared.items()} | {half: "run 0.5", eighth: "run 0.125"}
    assert asked == [(run, networks, [2], 4.0)]
    parameters = {"net0": 650, "net1": sum(one.numel() for one in run.compared["net1"].network.parameters())}
    rows = [
        {
            "network": label,
            "asked": share,
            "accuracy": 0.5,
            "parameters_kept": parameters[label.partition(",")[0]],
            "weight_sparsity": 0.0,
            "latency_ms": taken,
            "times_as_fast": faster,
        }
        for label, share, taken, faster in (
            ("net0", None, 8.0, 1.0),
            ("net1", None, 2.0, 4.0),
            (half, 0.5, 4.0, 2.0),
            (eighth, 0.125, None, None),
        )
    ]
    assert results["tradeoff"] == rows
    title = "LogisticRegression on DIGITS, pruned by L1Norm, batches of 2"
    assert run.hooks.tables[1:] == [("tradeoff", title, rows, TRADEOFF_FORMS)]
    assert drawn == [(rows, "net0", "test", title, run.folder.output / "tradeoff.png")]
    assert run.notices == ["it cannot be reached"]
    assert bars == [(3, "budgets")]
    labels = [f"net0, {share:g} of the latency" for share in shares]
    assert steps == [(done, label) for label in labels for done in (0, 1)]


def test_a_copy_is_pruned_to_the_end_and_repaired_as_it_is_run(tradeoff, monkeypatch):
    tester, *_ = tradeoff("--tradeoff_repairs bn --tradeoff_batches 3 --tradeoff_images 2 --execution sparse", MLP)
    run, asked, meter = tester.run, [], SimpleNamespace()

    def prune_and_repair(*arguments, **options):
        told = (criterion.execution, criterion.autocast)
        asked.append((arguments, options, told))

    meter.as_run = lambda network, example: (network, example)
    criterion = SimpleNamespace(network="copy", limit=0.75, meter=meter, prune_and_repair=prune_and_repair)

    def criterion_of_copy(*arguments, **options):
        asked.append((arguments, options))
        return criterion, ["batch"]

    monkeypatch.setattr(Tradeoff_module, "criterion_of_copy", criterion_of_copy)
    assert tester.pruned_to(0.25) == ("copy", ("copy", run.example))
    options = {"target": ["latency=0.250000000@2"], "repair": ["bn"], "saliency_batches": 3}
    assert asked == [
        ((run, tester.kind, options), {"smoke": run.options.smoke}),
        ((0.75, ["batch"]), {"last": True, "final": True}, ("sparse", run.precision.autocast)),
    ]


def test_what_channels_a_copy_has_lost_are_gone_from_its_weights(tradeoff):
    tester, *_ = tradeoff("", LINEAR)
    half = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 10))
    figures = tester.figures(tester.run, half)
    assert figures == {"accuracy": 0.5, "parameters_kept": 330, "weight_sparsity": 0.5}


def test_a_criterion_that_decides_itself_how_much_is_pruned_has_no_budgets(tradeoff):
    with pytest.raises(UserError, match=r"^--tradeoff_criterion HoyerSquare decides itself"):
        tradeoff("--tradeoff_criterion HoyerSquare", LINEAR)
