from functools import partial

import pytest
import torch
from torch import nn

from secateur.pruning.saliency import mean_gradients
from secateur.trainers.DefaultTrainer import DefaultTrainer


def test_the_gradient_of_the_mean_loss_over_batches():
    network = nn.Linear(2, 1, bias=False)

    def loss(outputs, targets):
        return (outputs[:, 0] * targets).mean()

    # d/dw of mean(w.x * t) is mean(x * t): (1, 2) for the first batch, (6, 0) for the second
    batches = [
        (torch.tensor([[1.0, 2.0]]), torch.tensor([1.0])),
        (torch.tensor([[2.0, 0.0], [4.0, 0.0]]), torch.tensor([2.0, 2.0])),
    ]
    gradients = mean_gradients(network, loss, batches, {"w": network.weight})
    assert gradients["w"].tolist() == [[3.5, 1.0]]


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batch = [(torch.randn(8, 1, 2, 2), torch.zeros(8, dtype=torch.long))]
    mean_gradients(network, nn.functional.cross_entropy, batch, {"w": network[3].weight})
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network[3].weight.grad is None


def test_a_weight_without_influence_has_gradient_zero():
    network = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    network.forward = lambda inputs: network["used"](inputs)
    batch = [(torch.randn(4, 2), torch.zeros(4, dtype=torch.long))]
    gradients = mean_gradients(network, nn.functional.cross_entropy, batch, {"idle": network["idle"].weight})
    assert gradients["idle"].abs().sum() == 0


@pytest.mark.parametrize("flags", ["--precision bf16", "--channels_last"])
def test_saliencies_are_of_float32_whatever_training_is_in(make_run, flags):
    found = []

    def recorded(scores, batches):
        found.append({name: score.detach() for name, score in scores(batches).items()})
        return found[-1]

    for extra in ("", flags):
        run = make_run(f"--model LeNet5 --prune_criterion SNIP --outer_layer_pruning --N 64 --batch_size 32 {extra}")
        run.criterion.scores = partial(recorded, run.criterion.scores)
        DefaultTrainer(run).prune_as_planned()
    for name, expected in found[0].items():
        assert found[1][name].dtype == torch.float32
        # bfloat16 has 8 bits: rounding there would differ by parts in a hundred.
        assert torch.allclose(found[1][name], expected, rtol=1e-3, atol=1e-6 * float(expected.max()))
