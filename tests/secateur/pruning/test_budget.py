"""Budgets: what is asked, what it is counted as, and how near what is left comes to it; by a made-up clock."""

import copy

import pytest
import torch
from torch import nn

import secateur
from secateur.measuring.flops import count_flops
from secateur.measuring.sparsity import measure_sparsity
from secateur.pruning.budget import counts
from secateur.pruning.targets import Target, read_target
from secateur.utils.errors import UserError

IMAGES = torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(1))
BATCHES = [(IMAGES, torch.arange(8) % 4)]


def small_lenet():
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(96, 40), nn.ReLU(), nn.Linear(40, 4),
    )  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """A clock by which an operation of a weight that is there takes a nanosecond, and the network a millisecond."""
    seen = []

    def seconds(network, images):
        densities = measure_sparsity(network).densities
        return 1e-3 + 1e-9 * len(images) * count_flops(network, images[:1]).effective(densities)

    def medians(networks, images, budget, least):
        seen.append(networks)
        return {name: seconds(network, images) for name, network in networks.items()}

    monkeypatch.setattr("secateur.pruning.budget.median_seconds", medians)
    medians.seconds, medians.seen = seconds, seen
    return medians


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("latency=0.33", Target("latency=0.33", "latency", 0.33, True)),
        ("latency=3ms@64", Target("latency=3ms@64", "latency", 0.003, False, 64)),
        ("latency=250us", Target("latency=250us", "latency", 0.00025, False)),
        ("flops=30M", Target("flops=30M", "flops", 30e6, False)),
        ("params=1M", Target("params=1M", "params", 1e6, False)),
        ("params=1234", Target("params=1234", "params", 1234, False)),
        ("bytes=2MB", Target("bytes=2MB", "bytes", 2e6, False)),
        ("bytes=0.5", Target("bytes=0.5", "bytes", 0.5, True)),
    ],
)
def test_what_is_asked(text, target):
    found = read_target(text)
    assert found == Target(**{**vars(target), "amount": pytest.approx(target.amount)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "latency=3MB"}, "latency has no unit 'MB'"),
        ({"target": "latency=3"}, "give a fraction of the latency, or a time"),
        ({"target": "flops=0.3@64"}, "@64 is for latency"),
        ({"target": "params=0"}, "nothing takes so little"),
        ({"target": "speed=3"}, "'speed=3' is not NAME=AMOUNT"),
        ({"target": ["flops=0.3", "flops=1M"]}, "asks for flops twice"),
        ({"target": "flops=0.3", "sparsity": 0.5}, "says how much is pruned: leave out the limit"),
        ({"target": "flops=0.3", "pattern": "2:4"}, "leave out --target"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        secateur.prune(small_lenet(), "Magnitude", batches=BATCHES, **options)


def test_counts_by_hand():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 2))
    dense = {"flops": 2 * (40 + 20), "params": 40 + 10 + 20 + 2, "bytes": 4 * 72}
    assert counts(network, torch.zeros(1, 1, 2, 2)) == dense
    with torch.no_grad():
        network[1].weight[:, 1:] = 0  # 10 of 40 are left, and five bytes of bits say which
    assert counts(network, torch.zeros(1, 1, 2, 2)) == {"flops": 2 * 30, "params": 42, "bytes": 4 * 42 + 5}


@pytest.mark.parametrize("criterion", ["Magnitude", "SNIPit", "SparseGPT"])
def test_weights_go_until_exact_counts_are_met(criterion):
    network, dense = small_lenet(), counts(small_lenet(), IMAGES[:1])
    result = secateur.prune(
        network, criterion, target=["flops=0.3", "params=0.6"], batches=BATCHES, outer_layer_pruning=True
    )
    left = counts(network, IMAGES[:1])
    shares = {name: left[name] / dense[name] for name in left}
    assert max(shares["flops"] / 0.3, shares["params"] / 0.6) == pytest.approx(1, abs=0.005)
    assert shares["flops"] <= 0.3
    assert shares["params"] <= 0.6
    (budget,) = result.pruner.criterion.budgets[-1:]
    assert budget["asked"] == ["flops=0.3", "params=0.6"]
    assert budget["flops"] == {"asked": pytest.approx(0.3 * dense["flops"]), "reached": left["flops"]}
    assert 1 < len(budget["tried"]) <= 14
    assert result.steps[-1].notices[0].startswith("--target flops=0.3: reached flops=0.")


def test_channels_go_until_the_clock_is_met_and_are_timed_beside_the_dense_network(clock):
    network, dense = small_lenet(), clock.seconds(small_lenet(), IMAGES)
    result = secateur.prune(network, "L1Norm", target="latency=0.6@8", batches=BATCHES)
    assert clock.seconds(network, IMAGES) / dense == pytest.approx(0.6, rel=0.05)
    assert set(clock.seen[-1]) == {"dense", "pruned"}
    assert result.pruner.criterion.budgets[-1]["latency@8"]["reached"] == pytest.approx(0.6 * dense, rel=0.05)
    again = small_lenet()
    text = f"latency={1e6 * 0.6 * dense:.0f}us@8"
    secateur.prune(again, "L1Norm", target=text, batches=BATCHES)
    assert clock.seconds(again, IMAGES) == clock.seconds(network, IMAGES)


def test_masks_are_timed_without_the_channels_that_they_leave_idle(clock):
    network = small_lenet()
    with torch.no_grad():
        network[2].weight[12:] *= 1e-6
        network[2].bias.zero_()
    secateur.prune(network, "Magnitude", target="latency=0.7@8", batches=BATCHES, outer_layer_pruning=True)
    assert min(one["pruned"][2].out_channels for one in clock.seen) <= 12
    assert network[2].out_channels == 24


def test_networks_are_timed_as_they_will_be_run(monkeypatch):
    seen = []

    def medians(networks, images, budget, least):
        weights = [one for one in networks["pruned"].parameters() if one.dim() > 1]
        left = sum(int(one.count_nonzero()) for one in weights) / sum(one.numel() for one in weights)
        seen.append(type(networks["pruned"]).__name__)
        return {"dense": 2.0, "pruned": 2 * left}

    monkeypatch.setattr("secateur.pruning.budget.median_seconds", medians)
    monkeypatch.setattr("secateur.pruning.budget.prepare", lambda network, images: None)
    options = {"batches": BATCHES, "outer_layer_pruning": True, "execution": "sparse"}
    result = secateur.prune(small_lenet(), "Magnitude", target="latency=0.25", **options)
    assert set(seen) == {"Accelerated"}
    assert result.pruner.criterion.budgets[-1]["latency@1"]["reached"] == pytest.approx(0.5, rel=0.05)


def test_what_cannot_be_reached_is_one_line_with_the_nearest_and_nothing_is_pruned(clock):
    network, before = small_lenet(), small_lenet()
    with pytest.raises(
        UserError, match=r"latency=0.1@8 cannot be reached: the nearest is latency=0.\d+, at sparsity 0.9"
    ):
        secateur.prune(network, "L1Norm", target="latency=0.1@8", batches=BATCHES)
    assert [one.shape for one in network.parameters()] == [one.shape for one in before.parameters()]


def test_one_shot_scores_are_computed_once_for_all_that_is_tried():
    calls = []

    class Counted(secateur.Criterion):
        def scores(self, batches):
            calls.append(0)
            return {name: weight.abs() for name, weight in self.weights.items()}

    secateur.prune(small_lenet(), Counted, target="params=0.31", batches=BATCHES, outer_layer_pruning=True)
    assert len(calls) == 2  # and once for what is done


def test_during_training_the_last_step_meets_the_target(run):
    outcome = run(
        "--model LeNet5 --data_set DIGITS --N 40 --epochs 4 --eval_freq 0 --disable_netplot --no_compact "
        "--batch_size 20 --prune_criterion Magnitude --prune_schedule linear --snip_steps 3 --prune_moment during "
        "--target params=0.2"
    )
    assert outcome.status == 0, outcome.err
    results = outcome.results
    assert results["parameters_kept"] / results["parameters_dense"] == pytest.approx(0.2, rel=0.005)
    assert results["budgets"][-1]["params"]["reached"] == results["parameters_kept"]
    assert "to params=0.2" in outcome.out


def test_copies_that_are_tried_change_nothing_of_what_trains():
    network = small_lenet()
    before = copy.deepcopy(network.state_dict())
    pruner = secateur.Pruner(
        network, "UnstructuredRandom", target="params=0.5", batches=BATCHES, timing="after", epochs=1,
        outer_layer_pruning=True,
    )  # fmt: skip
    state = torch.get_rng_state()
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    pruner.step = pruner.timeline.total * pruner.timeline.batches
    pruner.prune_as_planned()
    assert torch.equal(state, torch.get_rng_state())
    assert counts(network, IMAGES[:1])["params"] / sum(one.numel() for one in before.values()) == pytest.approx(
        0.5, 0.005
    )
