import pytest
import torch
from torch import nn

from secateur.criterions.GroupHoyerSquare import GroupHoyerSquare
from secateur.losses.GroupHoyerSquareCrossEntropy import GroupHoyerSquareCrossEntropy
from secateur.measuring.sparsity import layer_outputs
from secateur.trainers.DefaultTrainer import DefaultTrainer


@pytest.fixture
def make(build):
    def start(network, flags="", loss=nn.functional.cross_entropy):
        criterion = build(GroupHoyerSquare, network, flags, loss)
        criterion.example, criterion.dense_outputs = torch.zeros(1, 2), layer_outputs(network)
        return criterion

    return start


def network(rows):
    net = nn.Sequential(nn.Linear(2, len(rows)), nn.ReLU(), nn.Linear(len(rows), 2))
    net[0].weight.data = torch.tensor(rows)
    return net


def test_a_channel_goes_when_none_of_its_weights_is_above_the_threshold(make):
    criterion = make(network([[1e-3, -1e-3], [0.0, 0.0], [0.0, -0.002], [5.0, 0.0]]))
    step = criterion.prune(0.5, [])
    assert step.scores["0"].tolist() == [0, 0, 1, 1]
    assert step.masks["0"].tolist() == [False, False, True, True]
    assert (step.candidates, step.kept) == (4, 2)
    assert criterion.network[0].weight.shape == (2, 2)
    assert criterion.network[2].weight.shape == (2, 2)


def test_the_threshold_is_a_flag_and_the_limit_has_no_say(make):
    rows = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    assert make(network(rows), "--hoyer_threshold 2 --pruning_limit 0.1").prune(0.1, []).kept == 1
    assert make(network(rows), "--pruning_limit 0.9").prune(0.9, []).kept == 3


def test_the_penalty_ends_with_the_last_step_alone(make):
    class Penalty:
        has_pruned = False

    loss = Penalty()
    criterion = make(network([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), loss=loss)
    criterion.prune(0.5, [])
    assert not loss.has_pruned
    criterion.prune(0.5, [], last=True)
    assert loss.has_pruned
    make(network([[1.0, 0.0]])).prune(0.5, [], last=True)  # a loss of one's own has no penalty to end
    assert not hasattr(nn.functional.cross_entropy, "has_pruned")


def test_a_layer_never_loses_its_last_channel(make):
    assert make(network([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])).prune(0.5, []).kept == 1


def test_coupled_channels_go_only_when_they_are_small_in_every_layer(make):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, inputs):
            hidden = self.first(inputs)
            return self.last(hidden + self.second(hidden))

    net = Residual()
    net.first.weight.data[:2] = 0
    net.second.weight.data[1:] = 0
    step = make(net).prune(0.5, [])
    assert (step.candidates, step.kept) == (6, 4)
    assert net.last.weight.shape == (2, 2)


def test_the_flag_brings_criterion_loss_and_timing(make_run):
    run = make_run("--model LeNet300 --N 64 --batch_size 32 --group_hoyer_square --hoyer_reg 0.1 --epochs 8")
    assert isinstance(run.criterion, GroupHoyerSquare)
    assert isinstance(run.loss, GroupHoyerSquareCrossEntropy)
    assert run.notices == []
    assert [step / 2 for step in run.plan.pruning_steps] == [7]
    late = "--group_hoyer_square --epochs 80 --prune_delay 69 --prune_freq 1"
    assert list(make_run(f"--model LeNet300 --N 64 --batch_size 64 {late}").plan.pruning_steps) == [69]


def test_the_penalty_makes_channels_small_and_ends_with_them(make_run):
    run = make_run("--model LeNet300 --N 200 --batch_size 20 --group_hoyer_square --hoyer_reg 0.1 --epochs 16")
    trainer = DefaultTrainer(run)
    assert run.loss.penalty() is not None
    results = trainer.train()
    assert 0.1 < results["node_sparsity"] < 1
    nodes = sum(layer_outputs(run.network).values()) - 10
    assert results["node_sparsity"] == pytest.approx(1 - nodes / 400)
    assert run.loss.has_pruned
    assert run.loss.penalty() is None
