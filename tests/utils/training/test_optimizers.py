import pytest
import torch
from torch import nn

from utils.errors import UserError
from utils.training.optimizers import build_optimizer, build_schedule


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
