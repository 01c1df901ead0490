import pytest
import torch
from torch import nn

from secateur.training.optimizers import build_optimizer, clip_norm, decays_weights
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


def test_nesterov_steps_along_the_momentum_that_comes():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer("Nesterov", [weight], 0.1, 0)
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    # v = 1, then 0.9 + 1; each step is 0.1 * (1 + 0.9 v): 0.19, then 0.271
    assert weight.item() == pytest.approx(1 - 0.19 - 0.271)


def test_gradients_together_are_no_longer_than_the_norm_and_shorter_ones_stay():
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    clip_norm(gradients, 10)
    assert [gradient.flatten().tolist() for gradient in gradients] == [[3, 0], [4]]
    clip_norm(gradients, 1)
    assert gradients[0].tolist() == pytest.approx([0.6, 0])
    assert gradients[1].tolist() == [pytest.approx([0.8])]
    zeros = [torch.zeros(2)]
    clip_norm(zeros, 1)
    assert zeros[0].tolist() == [0, 0]


def test_who_decays_weights_is_known():
    decays = {name: decays_weights(build_optimizer(name, weights(), 0.1, 0.01)) for name in ("ADAM", "Rprop", "LBFGS")}
    assert decays == {"ADAM": True, "Rprop": False, "LBFGS": False}


def test_adam_and_sgd_make_their_step_as_one_operation():
    fused = {name: build_optimizer(name, weights(), 0.1, 0).defaults.get("fused") for name in ("ADAM", "AdamW", "SGD")}
    assert fused == {"ADAM": True, "AdamW": True, "SGD": True}
    assert not build_optimizer("NAdam", weights(), 0.1, 0).defaults.get("fused")


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
