"""What optimizers keep of each weight follows the weights: through regrowth and the removal of channels."""

import pytest
import torch
from torch import nn

from secateur.channels.surgery import Surgery
from secateur.training.optimizers import build_optimizer, follow_removals, prune_optimizer_state, zero_moments

#: All of torch.optim but those that `build_optimizer` refuses, and how many moments they keep of each weight.
MOMENTS = {
    "Adafactor": 0, "Adadelta": 2, "Adagrad": 1, "Adam": 2, "AdamW": 2, "Adamax": 2, "ASGD": 1, "LBFGS": 0, "NAdam": 2,
    "RAdam": 2, "RMSprop": 1, "Rprop": 2, "SGD": 1,
}  # fmt: skip


def test_no_optimizer_is_forgotten():
    there = {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    assert there - {"Optimizer", "SparseAdam", "Muon"} == MOMENTS.keys()  # the last takes matrices alone


@pytest.mark.parametrize(("name", "moments"), MOMENTS.items())
def test_every_optimizer_goes_on_after_channels_were_removed(name, moments):
    network = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3),
    )  # fmt: skip
    images, targets = torch.randn(8, 1, 8, 8), torch.arange(8) % 3
    optimizer = build_optimizer(name, network.parameters(), 1e-3, 0.0)

    def gradients():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), targets)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(gradients)
    before = {parameter: dict(optimizer.state[parameter]) for parameter in network.parameters()}
    kept = Surgery(network, images[:1]).remove([("0", [1, 3]), ("3", [0]), ("6", [2, 5])])
    parameters = dict(network.named_parameters())
    assert follow_removals(optimizer, parameters, kept) == (name == "LBFGS")
    for key in kept.keys() & parameters.keys():
        left = {name: moment for name, moment in optimizer.state[parameters[key]].items() if torch.is_tensor(moment)}
        left = {name: moment for name, moment in left.items() if moment.dim()}
        assert len(left) == (moments or (parameters[key].dim() == 1 and name == "Adafactor"))
        for what, moment in left.items():
            assert torch.equal(moment, before[parameters[key]][what].flatten()[kept[key]])
    losses = [optimizer.step(gradients).item() for _ in range(2)]
    assert losses[1] < losses[0] < 10


def test_of_a_state_each_moment_keeps_the_places_that_are_named_and_the_count_of_steps_stays():
    state = {"step": torch.tensor(7.0), "exp_avg": torch.arange(6.0).view(2, 3), "max": None}
    prune_optimizer_state(state, torch.tensor([[0, 2], [3, 5]]))
    assert (state["step"], state["max"]) == (7.0, None)
    assert state["exp_avg"].tolist() == [[0, 2], [3, 5]]


@pytest.mark.parametrize(
    ("shape", "follows"),
    [((2, 3), True), ((2, 2), True), ((3, 1), False), ((1, 6), False), ((6,), False), ((2, 3, 1), False)],
)
def test_moments_follow_that_have_a_number_for_each_weight_that_there_was(shape, follows):
    places = torch.tensor([[0, 2], [1, 3]]) if shape == (2, 2) else torch.tensor([[0, 2], [3, 5]])
    state = {"moment": torch.arange(6.0 if shape != (2, 2) else 4.0)[: torch.Size(shape).numel()].view(shape)}
    prune_optimizer_state(state, places)
    assert {kind: moment.flatten().tolist() for kind, moment in state.items()} == (
        {"moment": places.flatten().tolist()} if follows else {}
    )


def test_moments_that_end_where_the_last_place_would_be_do_not_follow():
    state = {"moment": torch.zeros(2, 2)}
    prune_optimizer_state(state, torch.tensor([[0, 4]]))
    assert state == {}


def test_an_optimizer_with_one_state_begins_anew_after_a_removal():
    layer = nn.Linear(3, 2)
    optimizer = build_optimizer("LBFGS", layer.parameters(), 0.1, 0.0)

    def closure():
        optimizer.zero_grad()
        loss = layer(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert optimizer.state
    assert follow_removals(optimizer, dict(layer.named_parameters()), {})
    assert not optimizer.state
    layer.weight.data = layer.weight.data[:, :2]
    layer.forward = lambda inputs: inputs[:, :2] @ layer.weight.T + layer.bias
    optimizer.step(closure)
    assert layer.weight.shape == (2, 2)


def test_a_state_of_another_form_starts_again():
    state = {"step": torch.tensor(7.0), "rows": torch.zeros(2, 1), "columns": torch.zeros(1, 3)}
    prune_optimizer_state(state, torch.tensor([[0, 2], [3, 5]]))
    assert state == {}


def test_the_moments_of_regrown_weights_are_zero_and_those_of_others_stay():
    layer = nn.Linear(2, 2, bias=False)
    optimizer = build_optimizer("ADAM", layer.parameters(), 0.1, 0.0)
    layer.weight.grad = torch.ones(2, 2)
    optimizer.step()
    zero_moments(optimizer, layer.weight, torch.tensor([[True, False], [False, False]]))
    state = optimizer.state[layer.weight]
    assert state["exp_avg"].tolist() == [[0.0, pytest.approx(0.1)], [pytest.approx(0.1)] * 2]
    assert state["exp_avg_sq"].tolist() == [[0.0, pytest.approx(1e-3)], [pytest.approx(1e-3)] * 2]
    assert state["step"] == 1
    zero_moments(optimizer, nn.Parameter(torch.zeros(2, 2)), torch.ones(2, 2, dtype=torch.bool))  # it has none
