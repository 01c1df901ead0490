from functools import partial

import pytest
import torch
from torch import nn

from secateur.pruning import saliency
from secateur.pruning.pruner import Pruner
from secateur.pruning.saliency import mean_gradients
from secateur.pruning.selection import select
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


#: Criteria whose scores are gradients of a mean, by what returns them.
GRADIENTS = {"SNIP": "scores", "FORCE": "scores", "GRASP": "scores", "SNAP": "channel_scores",
             "TaylorFO": "channel_scores", "GateDecorators": "channel_scores"}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_scores_by_parts_of_a_batch_are_those_of_whole_batches(monkeypatch, name):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(16, 3),
    ).double()  # fmt: skip
    network(torch.randn(20, 1, 6, 6, dtype=torch.float64))  # statistics of the norms
    batches = [(torch.randn(size, 1, 6, 6, dtype=torch.float64), torch.randint(3, (size,))) for size in (11, 11, 4)]
    found, sizes = [], []
    network.register_forward_hook(lambda _network, args, _outputs: sizes.append(len(args[0])))
    for most in (1000, 4):
        monkeypatch.setattr(saliency, "MICRO_BATCH", most)
        # Of a batch whose statistics count no part is looked at alone.
        options = {"outer_layer_pruning": True, "score_mode": "eval"}
        pruner = Pruner(network, name, sparsity=0.5, batches=batches, planned=False, **options)
        if hasattr(pruner.criterion, "trace"):
            pruner.criterion.trace()
        sizes.clear()
        found.append(getattr(pruner.criterion, GRADIENTS[name])(batches))
        pruner.detach()
        assert sizes == ([11, 11, 4] if most == 1000 else [4, 4, 3, 4, 4, 3, 4]) * (2 if name == "GRASP" else 1)
    whole, parts = found
    for layer, score in whole.items():
        # Gates are float32, whatever the network is.
        rtol, atol = (1e-10, 1e-14) if score.dtype == torch.float64 else (1e-5, 1e-7)
        assert torch.allclose(parts[layer], score, rtol=rtol, atol=atol)
    if GRADIENTS[name] == "scores":
        masks = [select(scores, 100) for scores in found]
        assert all(torch.equal(masks[0][layer], masks[1][layer]) for layer in whole)


@pytest.mark.parametrize(
    ("norm", "training", "parts"),
    [
        (nn.BatchNorm1d(2), False, 3),
        (nn.BatchNorm1d(2), True, 1),
        (nn.Dropout(0.5), True, 1),
        (nn.BatchNorm1d(2, track_running_stats=False), False, 1),
    ],
)
def test_a_batch_whose_images_mix_stays_whole(norm, training, parts):
    network = nn.Sequential(nn.Linear(2, 2), norm).train(training)
    inputs, targets = torch.randn(150, 2), torch.arange(150)
    found = list(saliency.micro_batches(network, inputs, targets))
    assert len(found) == parts
    assert torch.equal(torch.cat([part for part, _, _ in found]), inputs)
    assert torch.equal(torch.cat([part for _, part, _ in found]), targets)
    assert [fraction for _, _, fraction in found] == pytest.approx([1 / parts] * parts)
