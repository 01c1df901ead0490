"""Each score on a network that is small enough to work it out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.criterions.FORCE import FORCE
from secateur.criterions.GRASP import GRASP
from secateur.criterions.HoyerSquare import HoyerSquare
from secateur.criterions.Magnitude import Magnitude
from secateur.criterions.MovementPruning import MovementPruning
from secateur.criterions.SynFlow import SynFlow
from secateur.criterions.UnstructuredRandom import UnstructuredRandom
from secateur.models.VGG16 import VGG16

BATCH = [(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))]


def line(weights):
    """One output, w . x, without a bias."""
    network = nn.Linear(len(weights), 1, bias=False)
    network.weight.data = torch.tensor([weights])
    return network


def squared(outputs, targets):
    return (outputs[:, 0] - targets).square().mean() / 2


def test_magnitude_by_hand(build):
    scores = build(Magnitude, line([-3.0, 2.0])).scores([])
    assert scores[""].tolist() == [[3.0, 2.0]]


def test_random_pruning_follows_the_seed_and_hits_every_layer_alike(build):
    def mask(seed):
        network = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 100))
        criterion = build(UnstructuredRandom, network, f"--seed {seed}")
        criterion.prune(0.9, [])
        return criterion.masks.kept

    first, again, other = mask(1), mask(1), mask(2)
    assert torch.equal(first["0"], again["0"])
    assert not torch.equal(first["0"], other["0"])
    # 1,000 of 10,000 expected in each, with a standard deviation of 21
    assert 900 < int(first["0"].sum()) < 1100


def test_random_pruning_keeps_to_a_pattern(build):
    criterion = build(UnstructuredRandom, nn.Linear(8, 5), "--pattern 1:4")
    assert criterion.prune(criterion.limit, []).kept == 10


def test_random_scores_have_nothing_to_do_with_the_initial_weights(build):
    torch.manual_seed(333)
    network = nn.Linear(100, 100)
    scores = build(UnstructuredRandom, network, "--seed 333").scores([])
    correlation = torch.corrcoef(torch.stack([scores[""].flatten(), network.weight.detach().flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.05


def test_grasp_by_hand(build):
    # L = (w.x - t)^2 / 2 with logits divided by T = 2: g = e x / 2, H = x x^T / 4, Hg = e |x|^2 x / 8
    criterion = build(GRASP, line([3.0, 0.5]), "--grasp_temperature 2", squared)
    error = (3 + 1) / 2 - 0
    hg = error * 5 * torch.tensor([1.0, 2.0]) / 8
    torch.testing.assert_close(criterion.scores(BATCH)[""], torch.tensor([[3.0, 0.5]]) * hg)


def test_grasp_equals_an_explicit_hessian_times_the_gradient(build):
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    batches = [(torch.randn(6, 4, dtype=torch.double), torch.arange(6) % 3) for _ in range(2)]
    criterion = build(GRASP, network)
    shapes = [layer.weight.shape for layer in (network[0], network[2])]

    def mean_loss(flat):
        first, second = (part.view(shape) for part, shape in zip(flat.split([20, 15]), shapes, strict=True))
        logits = [
            (torch.tanh(inputs @ first.T + network[0].bias) @ second.T + network[2].bias) / 200 for inputs, _ in batches
        ]
        return (
            sum(functional.cross_entropy(out, targets) for out, (_, targets) in zip(logits, batches, strict=True)) / 2
        )

    flat = torch.cat([network[0].weight.flatten(), network[2].weight.flatten()]).detach()
    gradient = torch.autograd.functional.jacobian(mean_loss, flat)
    hessian = torch.autograd.functional.hessian(mean_loss, flat)
    expected = flat * (hessian @ gradient)
    scores = torch.cat([score.flatten() for score in criterion.scores(batches).values()])
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-15)


def test_synflow_by_hand(build):
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    network[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    network[2].weight.data = torch.tensor([[5.0, -6.0]])
    scores = build(SynFlow, network).scores([(torch.randn(3, 2), None)])
    # R = |w2| |W1| 1: an edge scores the sum over the paths through it of the products of their sizes
    assert scores["0"].tolist() == [[5.0, 10.0], [18.0, 24.0]]
    assert scores["2"].tolist() == [[15.0, 42.0]]
    assert network[0].weight.tolist() == [[1.0, -2.0], [3.0, 4.0]]


def test_synflow_conserves_its_score_from_layer_to_layer(build):
    network = VGG16((3, 32, 32), 10)
    for layer in network.modules():
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    scores = build(SynFlow, network).scores([(torch.zeros(1, 3, 32, 32), None)])
    sums = torch.stack([score.sum() for score in scores.values()])
    assert sums.dtype == torch.float64
    torch.testing.assert_close(sums, sums[0].expand_as(sums), rtol=1e-9, atol=0.0)


def narrow_vgg16():
    """The layers of VGG16 with a quarter of its channels each."""
    layers, inputs = [], 3
    for outputs in (16, 16, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if len(layers) in (6, 13, 23, 33) else []
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


@pytest.mark.slow
def test_a_hundred_steps_of_synflow_empty_no_layer_where_one_does(build):
    def emptied(steps):
        torch.manual_seed(0)
        criterion = build(SynFlow, narrow_vgg16())
        collapsed = []
        for step in range(1, steps + 1):
            pruned = criterion.prune(1 - 1000 ** (-step / steps), [(torch.zeros(1, 3, 32, 32), None)])
            collapsed += pruned.collapsed
        total = sum(weight.numel() for weight in criterion.weights.values())
        assert pruned.kept == round(total / 1000)
        return collapsed

    assert emptied(1)
    assert emptied(100) == []


def test_force_judges_a_pruned_weight_by_what_it_was_and_regrows_it(build):
    criterion = build(FORCE, line([3.0, 0.5]), loss=squared)
    criterion.prune(0.5, BATCH)
    # L = (w.x - t)^2 / 2: |g w| = |w.x| |x w|, 3 against 1
    assert criterion.network.weight.tolist() == [[3.0, 0.0]]
    # Of another image, w.x = 3 * 0.1: 0.3 * 0.3 for the first, and 0.3 * 2 for the second, were it 0.5 again
    other = [(torch.tensor([[0.1, 4.0]]), torch.tensor([0]))]
    torch.testing.assert_close(criterion.scores(other)[""], torch.tensor([[0.09, 0.6]]))
    step = criterion.prune(0.5, other)
    assert step.regrown[""].tolist() == [[False, True]]
    assert criterion.network.weight.tolist() == [[0.0, 0.5]]


def test_movement_adds_up_what_moves_away_from_zero(build):
    network = line([2.0, -1.0])
    criterion = build(MovementPruning, network)
    criterion.after_backward({"": torch.tensor([[1.0, 3.0]])})
    assert criterion.scores([])[""].tolist() == [[-2.0, 3.0]]
    criterion.prune(0.5, [])
    assert network.weight.tolist() == [[0.0, -1.0]]
    # The pruned weight goes on as the 2.0 that it was, and comes back as it.
    criterion.after_backward({"": torch.tensor([[-4.0, 0.0]])})
    assert criterion.scores([])[""].tolist() == [[6.0, 3.0]]
    criterion.prune(0.5, [])
    assert network.weight.tolist() == [[2.0, 0.0]]


def test_before_any_movement_the_smallest_go(build):
    network = nn.Sequential(line([1.0, 3.0]), nn.Linear(1, 2, bias=False))
    network[1].weight.data = torch.tensor([[-2.0], [4.0]])
    build(MovementPruning, network).prune(0.5, [])
    assert network[0].weight.tolist() == [[0.0, 3.0]]
    assert network[1].weight.tolist() == [[0.0], [4.0]]


def test_hoyer_square_prunes_below_its_threshold_however_many(build):
    network = line([0.5, 0.01, -0.02, -0.011])
    step = build(HoyerSquare, network, "--hoyer_threshold 0.011 --pruning_limit 0.1").prune(0.1, [])
    assert (step.kept, step.sparsity) == (2, 0.5)
    assert network.weight.tolist() == [[0.5, 0.0, pytest.approx(-0.02), 0.0]]


def test_a_weight_of_just_the_threshold_goes(build):
    step = build(HoyerSquare, line([0.5, -0.25, 0.75]), "--hoyer_threshold 0.5").prune(0.5, [])
    assert step.masks[""].tolist() == [[False, False, True]]


def test_force_takes_gradients_and_weights_of_either_sign(build):
    """The output 3 * 1 - 0.5 * 2 = 2 has the gradient (2, 4)."""
    scores = build(FORCE, line([3.0, -0.5]), loss=squared).scores(BATCH)
    assert scores[""].tolist() == [[6.0, 2.0]]
