from functools import partial

import pytest
import torch
from torch import nn

from secateur.pruning import saliency
from secateur.pruning.pruner import Pruner
from secateur.pruning.saliency import hessian_gradient_product, mean_gradients
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


@pytest.mark.parametrize(
    ("number", "sizes"),
    [(0, [0]), (64, [64]), (65, [33, 32]), (128, [64, 64]), (129, [43, 43, 43]), (130, [44, 43, 43])],
)
def test_at_most_64_images_go_through_the_network_at_a_time(number, sizes):
    inputs, targets = torch.randn(number, 2), torch.arange(number)
    found = list(saliency.micro_batches(nn.Linear(2, 2).eval(), inputs, targets))
    assert [(len(part), len(classes)) for part, classes, _ in found] == [(size, size) for size in sizes]
    assert [fraction for _, _, fraction in found] == ([1.0] if number <= 64 else [size / number for size in sizes])


def test_targets_that_are_no_tensor_are_not_divided():
    inputs, targets = torch.randn(200, 2), [torch.arange(200)] * 200
    ((some, theirs, fraction),) = saliency.micro_batches(nn.Linear(2, 2).eval(), inputs, targets)
    assert (some is inputs, theirs is targets, fraction) == (True, True, 1.0)


def test_second_derivatives_of_what_is_linear_or_has_no_part_are_zero():
    class Product(nn.Module):
        """3 a + b * b / 2, and nothing of c."""

        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Parameter(torch.tensor([value])) for value in (2.0, 5.0, 7.0))

        def forward(self, inputs):
            return inputs * (3 * self.a + self.b * self.b / 2)

    network, batches = Product(), [(torch.ones(1, 1), None)]

    def product(*names):
        weights = {name: getattr(network, name) for name in names}
        found = hessian_gradient_product(network, lambda outputs, targets: outputs.mean(), batches, weights)
        return {name: value.tolist() for name, value in found.items()}

    assert product("a", "b", "c") == {"a": [0.0], "b": [5.0], "c": [0.0]}
    assert product("a") == {"a": [0.0]}


def test_other_errors_of_a_network_are_its_own():
    class Broken(nn.Linear):
        def forward(self, inputs):
            raise ValueError("out of order")

    network = Broken(2, 2)
    with pytest.raises(ValueError, match=r"^out of order$"):
        mean_gradients(network, nn.functional.cross_entropy, [(torch.ones(2, 2), None)], {"w": network.weight})
