import pytest
import torch
from torch import nn

from secateur.channels.norm_gates import NormGates
from secateur.criterions.GateDecorators import GateDecorators
from secateur.measuring.sparsity import layer_outputs
from secateur.pruning.saliency import mean_gradients
from secateur.utils.errors import UserError

EXACT = {"eps": 0.0}


@pytest.fixture
def make(build):
    def start(network, flags="", loss=lambda outputs, targets: outputs.mean()):
        criterion = build(GateDecorators, network, f"--score_mode eval {flags}", loss)
        criterion.example, criterion.dense_outputs = torch.zeros(1, 2), layer_outputs(network)
        criterion.trace()
        return criterion

    return start


def two_paths():
    """x -> y = 2 x + 1 for each of two nodes -> 5 y_0 - 6 y_1."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, **EXACT), nn.Linear(2, 1, bias=False))
    network[0].weight.data = torch.eye(2)
    network[1].weight.data, network[1].bias.data = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0])
    network[2].weight.data = torch.tensor([[5.0, -6.0]])
    return network


def batches(*images):
    return [(torch.tensor([image]), torch.tensor([0])) for image in images]


def test_the_score_is_the_output_of_the_norm_times_what_it_does_to_the_loss(make):
    network = two_paths()
    assert make(network).channel_scores(batches([1.0, 3.0]))["0"].tolist() == [5 * 3, 6 * 7]
    # Of two batches it is the mean of the sizes: 15 and -15 do not cancel.
    scores = make(network).channel_scores(batches([1.0, 3.0], [-2.0, 0.0]))["0"]
    assert scores.tolist() == [(15 + 15) / 2, (42 + 6) / 2]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert network[1].running_mean.tolist() == [0.0, 0.0]


def test_gates_that_are_folded_have_the_score_that_they_had_as_gates(make):
    network = two_paths().eval()
    gates = NormGates(network)
    gates.gates["1"].data = torch.tensor([0.5, -3.0])
    gates.attach()
    found = mean_gradients(network, lambda outputs, targets: outputs.mean(), batches([1.0, 3.0]), gates.gates)["1"]
    expected = (found * gates.gates["1"]).abs()
    with gates.folded():
        scores = make(network).channel_scores(batches([1.0, 3.0]))["0"]
    torch.testing.assert_close(scores, expected.detach())


def test_coupled_channels_add_up_and_channels_without_a_norm_stay(make):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm1 = nn.Linear(2, 3), nn.BatchNorm1d(3, **EXACT)
            self.second, self.norm2 = nn.Linear(3, 3), nn.BatchNorm1d(3, **EXACT)
            self.bare, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, inputs):
            hidden = self.norm1(self.first(inputs))
            return self.last(self.bare(hidden + self.norm2(self.second(hidden))))

    network = Residual()
    criterion = make(network)
    scores = criterion.channel_scores(batches([1.0, 3.0]))
    coupled, bare = sorted(scores, key=lambda root: len(scores[root]))
    assert scores[bare].isposinf().all()
    gates = NormGates(network.eval())
    gates.attach()
    found = mean_gradients(network, criterion.loss, batches([1.0, 3.0]), gates.gates)
    gates.detach()
    torch.testing.assert_close(scores[coupled], found["norm1"].abs() + found["norm2"].abs())
    criterion.prune(0.9, batches([1.0, 3.0]))
    assert (network.first.out_features, network.second.out_features, network.bare.out_features) == (1, 1, 4)


def steps(make_run, flags):
    run = make_run(f"--model ResNet20 --N 32 --batch_size 16 --prune_criterion GateDecorators {flags}")
    return {step / 2: sparsities for step, sparsities in run.plan.pruning_steps.items()}


def test_a_pruning_step_follows_each_epoch_of_tick(make_run):
    flags = "--tick_epochs 2 --tock_epochs 3 --snip_steps 5 --pruning_limit 0.5 --epochs 11"
    planned = steps(make_run, flags)
    assert list(planned) == [1, 2, 6, 7, 11]
    assert [sparsity for [sparsity] in planned.values()] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert list(steps(make_run, f"{flags} --pre_epochs 4")) == [5, 6, 10, 11, 15]
    assert list(steps(make_run, f"{flags} --tock_epochs 0 --epochs 5")) == [1, 2, 3, 4, 5]


def test_by_default_twenty_steps_take_two_times_ten_epochs_with_nine_between(make_run):
    planned = steps(make_run, "--pruning_limit 0.93 --epochs 70")
    assert list(planned) == [*range(1, 11), *range(20, 30)]
    assert planned[29] == [0.93]


def test_it_trains_by_tick_and_tock(make_run):
    run = make_run("--model ResNet20 --N 32 --prune_criterion GateDecorators --pruning_limit 0.93 --epochs 70")
    assert run.settings["train_scheme"] == "TickTock"
    assert run.notices == []
    ticks = [epoch for epoch in range(29) if run.criterion.is_tick(epoch)]
    assert ticks == [*range(10), *range(19, 29)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model ResNet20 --epochs 28", "prunes 20 times, .* needs at least --epochs 29; there are 28"),
        ("--model ResNet20 --epochs 70 --prune_moment before", "leave out --prune_moment"),
        (
            "--model ResNet20 --epochs 70 --experiment multishot --pre_epochs 1",
            "leave out --prune_moment, --experiment",
        ),
        ("--model LeNet5 --epochs 70", "this network has none"),
        ("--tick_epochs 0", "--tick_epochs: 0 is out of range"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(make_run, flags, message):
    with pytest.raises(UserError, match=message):
        make_run(f"--N 32 --prune_criterion GateDecorators {flags}")
