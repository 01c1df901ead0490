import pytest
import torch
from torch import nn

from secateur.training.optimizers import build_optimizer
from secateur.utils.errors import UserError


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
