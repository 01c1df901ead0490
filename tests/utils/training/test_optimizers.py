import pytest
import torch
from torch import nn

from utils.errors import UserError
from utils.pruning.surgery import Surgery
from utils.training.optimizers import begin_anew, build_optimizer, build_schedule, cut_moments, remembers_all_in_one

#: All of torch.optim but those that `build_optimizer` refuses, and how many numbers they remember of each weight.
MOMENTS = {
    "Adafactor": 0, "Adadelta": 2, "Adagrad": 1, "Adam": 2, "AdamW": 2, "Adamax": 2, "ASGD": 1, "LBFGS": 0, "NAdam": 2,
    "RAdam": 2, "RMSprop": 1, "Rprop": 2, "SGD": 1,
}  # fmt: skip


def weights():
    return nn.Conv2d(2, 2, 3).parameters()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ADAM", torch.optim.Adam),
        ("SGD", torch.optim.SGD),
        ("RMSPROP", torch.optim.RMSprop),
        ("nadam", torch.optim.NAdam),
    ],
)
def test_optimizers_go_by_name_whatever_the_case(name, kind):
    optimizer = build_optimizer(name, weights(), 0.1, 0.01)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_sgd_has_momentum():
    assert build_optimizer("SGD", weights(), 0.1, 0).param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Adma", "did you mean Adam"),
        ("SparseAdam", "SparseAdam cannot train this network"),
        ("Optimizer", "torch.optim has no 'Optimizer'"),
    ],
)
def test_optimizers_that_cannot_be_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        build_optimizer(name, weights(), 0.1, 0)


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
    cuts = Surgery(network, images[:1]).remove([("0", [1, 3]), ("3", [0]), ("6", [2, 5])])
    parameters = dict(network.named_parameters())
    if remembers_all_in_one(optimizer):
        begin_anew(optimizer)
    for key, places in cuts.items():
        if key in parameters:
            cut_moments(optimizer.state[parameters[key]], places)
    for key in cuts.keys() & parameters.keys():
        kept = {name: moment for name, moment in optimizer.state[parameters[key]].items() if torch.is_tensor(moment)}
        kept = {name: moment for name, moment in kept.items() if moment.dim()}
        assert len(kept) == (moments or (parameters[key].dim() == 1 and name == "Adafactor"))
        for what, moment in kept.items():
            assert torch.equal(moment, before[parameters[key]][what].flatten()[cuts[key]])
    losses = [optimizer.step(gradients).item() for _ in range(2)]
    assert losses[1] < losses[0] < 10


def rates(text, epochs=4, batches=2):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(text, optimizer, epochs, batches)
    seen = []
    for _ in range(epochs * batches):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_constant_stays():
    assert rates("constant") == [1.0] * 8


def test_steps_multiply_at_their_epochs():
    assert rates("steps:1,3x0.1") == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_to_zero_by_half_a_wave():
    expected = [(1 + torch.cos(torch.tensor(torch.pi * step / 8)).item()) / 2 for step in range(8)]
    assert rates("cosine") == pytest.approx(expected)


def test_onecycle_rises_to_the_rate_and_falls():
    seen = rates("onecycle", epochs=10, batches=10)
    assert max(seen) == pytest.approx(1.0, rel=0.01)
    assert seen[0] < 0.1
    assert seen[-1] < 0.01
