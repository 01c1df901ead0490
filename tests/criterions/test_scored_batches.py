"""What becomes of the batches that scores are computed on, whatever the criterion."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.config.registry import find_class
from secateur.criterions.CNIP import CNIP
from secateur.criterions.GRASP import GRASP
from secateur.criterions.RigL import RigL
from secateur.criterions.SNIP import SNIP
from secateur.measuring.sparsity import layer_outputs
from secateur.models.ViT_tiny import ViT_tiny
from secateur.pruning.class_balance import balanced_batches
from secateur.pruning.saliency import ScoreMode, hessian_gradient_product, mean_gradients
from secateur.pruning.structured import StructuredCriterion
from secateur.pruning.threshold import PrunesByThreshold
from secateur.utils.errors import UserError
from secateur.utils.torchvision_import import torchvision

CRITERIA = [find_class("criterions", name) for name in secateur.names("criterions") if name != "EmptyCrit"]
BY_GRADIENT = [kind for kind in CRITERIA if issubclass(kind, ScoreMode)]
#: Their score of a batch is not linear in its gradient: a square, or a size.
OF_EACH_BATCH = ("TaylorFO", "GateDecorators")
LAYERS = (4, 6)
VisionTransformer = torchvision.models.VisionTransformer


def images(number):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(number, 2, 6, 6, generator=generator, dtype=torch.double), torch.arange(number) % 3


@pytest.fixture(scope="module")
def trained():
    """Convolutions with norms that have seen data, and two linear layers."""
    torch.manual_seed(1)
    network = nn.Sequential(
        *(nn.Conv2d(2, LAYERS[0], 3), nn.BatchNorm2d(LAYERS[0]), nn.ReLU()),
        *(nn.Conv2d(LAYERS[0], LAYERS[1], 3), nn.BatchNorm2d(LAYERS[1]), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(4 * LAYERS[1], 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)),
    ).double()
    for _ in range(3):
        network(images(30)[0] * 2 + 1)
    return network


@pytest.fixture
def step_of(build, trained):
    """Prune half of a copy of the network by these batches; returns scores and masks, by name."""

    def prune(kind, batches, mode=None):
        network = copy.deepcopy(trained)
        flags = "--hoyer_threshold 0.2 " if issubclass(kind, PrunesByThreshold) else ""
        criterion = build(kind, network, flags + (f"--score_mode {mode}" if mode else ""))
        criterion.example, criterion.dense_outputs = batches[0][0][:1], layer_outputs(network)
        if kind is RigL:
            criterion.prune(0.5, [])  # which draws the first mask
            criterion.times = [0.1]
        step = criterion.prune(0.5, batches)
        parts = [step, step.weights] if step.weights else [step]
        kinds = [(f"{part.unit} ", part) for part in parts]
        scores = {unit + name: score for unit, part in kinds for name, score in part.scores.items()}
        return scores, {unit + name: mask for unit, part in kinds for name, mask in part.masks.items()}

    return prune


def assert_same(found, expected):
    """The same scores up to rounding, and so the same masks."""
    for name, score in expected[0].items():
        torch.testing.assert_close(found[0][name], score, rtol=1e-5, atol=1e-12)
    assert all(torch.equal(found[1][name], mask) for name, mask in expected[1].items())
    assert any(not mask.all() for mask in expected[1].values())


@pytest.mark.parametrize("kind", CRITERIA)
def test_a_batch_that_is_repeated_changes_nothing(step_of, kind):
    batch = images(12)
    assert_same(step_of(kind, [batch] * 3), step_of(kind, [batch]))


@pytest.mark.parametrize("kind", BY_GRADIENT)
def test_nor_does_it_in_the_other_mode(step_of, kind):
    batch, other = images(12), "train" if kind.score_mode == "eval" else "eval"
    assert_same(step_of(kind, [batch] * 3, other), step_of(kind, [batch], other))


@pytest.mark.parametrize("kind", [kind for kind in CRITERIA if kind.__name__ not in OF_EACH_BATCH])
def test_five_batches_prune_what_their_images_prune_as_one(step_of, kind):
    inputs, targets = images(30)
    batches = list(zip(inputs.split(6), targets.split(6), strict=True))
    # The statistics of a batch are its own, so that with them the images of five are not those of one.
    mode = "eval" if kind in BY_GRADIENT else None
    assert_same(step_of(kind, batches, mode), step_of(kind, [(inputs, targets)], mode))


@pytest.mark.parametrize("kind", BY_GRADIENT)
def test_the_mode_is_read(step_of, kind):
    batch = [images(12)]
    evaluated, trained = (step_of(kind, batch, mode)[0] for mode in ("eval", "train"))
    assert any(not torch.allclose(score, trained[name], rtol=1e-3) for name, score in evaluated.items())
    default = step_of(kind, batch)[0]
    same = trained if kind.__name__ in ("GRASP", "FORCE", "TaylorFO", "GateDecorators", "RigL") else evaluated
    assert all(torch.equal(score, same[name]) for name, score in default.items())


def test_cnip_divides_by_the_batches_on_both_sides(build, trained):
    """However many batches there are, nodes weigh against weights what they weigh by one."""
    divided = []
    for number in (1, 5, 20):
        network = copy.deepcopy(trained)
        criterion = build(CNIP, network)
        criterion.example, criterion.dense_outputs = images(1)[0], layer_outputs(network)
        criterion.trace()
        batches = [images(12)] * number
        nodes = criterion.unit_scores(criterion.channel_scores(batches))
        divided.append(criterion.fractions(criterion.snip.scores(batches), nodes, 0.8))
    assert divided == [divided[0]] * 3
    assert all(0 < fraction < 1 for fraction in divided[0])


def test_batch_statistics_are_those_of_training_without_its_dropout_and_leave_the_network_as_it_was(trained):
    network, batch = copy.deepcopy(trained), images(12)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights = {name: layer.weight for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    found = mean_gradients(network, functional.cross_entropy, [batch], weights, "train")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(norm.track_running_stats for norm in network if isinstance(norm, nn.BatchNorm2d))
    network[9].p = 0.0
    loss = functional.cross_entropy(network(batch[0]), batch[1])
    for name, gradient in zip(weights, torch.autograd.grad(loss, [*weights.values()]), strict=True):
        torch.testing.assert_close(found[name], gradient)


def test_a_batch_without_statistics_is_refused_in_a_line(build):
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    with pytest.raises(UserError, match=r"--score_mode train .* single value a channel"):
        build(GRASP, network).scores([(torch.ones(1, 2), torch.tensor([0]))])


def test_no_batches_are_refused_in_a_line(build):
    with pytest.raises(UserError, match="there are none"):
        build(SNIP, nn.Linear(2, 2)).scores([])


class Attentive(nn.Module):
    """torch's own attention over three tokens of eight numbers."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.classifier = nn.Linear(8, 3)

    def forward(self, inputs):
        tokens = inputs.flatten(1)[:, :24].unflatten(1, (3, 8))
        return self.classifier(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (24, 8)), layer, nn.Flatten(), nn.Linear(192, 3))


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: ViT_tiny((3, 8, 8), 3), id="ViT_tiny"),
        pytest.param(Attentive, id="MultiheadAttention"),
        pytest.param(encoder, id="TransformerEncoderLayer"),
        pytest.param(lambda: VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=3), id="torchvision"),
    ],
)
def test_grasp_differentiates_attention_twice(network):
    torch.manual_seed(0)
    network = network().double()
    if isinstance(network, VisionTransformer):
        nn.init.normal_(network.heads.head.weight)  # which it leaves at zero
    batch = torch.randn(4, 3, 8, 8, dtype=torch.double), torch.tensor([0, 1, 2, 1])
    weights = {name: weight for name, weight in network.named_parameters() if weight.dim() == 2}
    found = hessian_gradient_product(network, functional.cross_entropy, [batch], weights)

    def gradients():
        return mean_gradients(network, functional.cross_entropy, [batch], weights)

    direction = gradients()
    step = 1e-6 / max(float(one.abs().max()) for one in direction.values())
    sides = []
    with torch.no_grad():
        for move in (step, -2 * step):
            torch._foreach_add_(list(weights.values()), list(direction.values()), alpha=move)
            sides.append(gradients())
    for name, product in found.items():
        expected = (sides[0][name] - sides[1][name]) / (2 * step)
        torch.testing.assert_close(product, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert any(product.abs().max() > 1e-6 for product in found.values())


def test_class_balanced_batches_have_the_first_images_of_every_class():
    targets = torch.tensor([0, 0, 0, 1, 2, 0, 1, 2, 1, 2, 2, 0, 1])
    batches = list(zip(torch.arange(13.0).split(4), targets.split(4), strict=True))
    first, second = balanced_batches(iter(batches), number=2, per_class=2, classes=3)
    assert first[0].tolist() == [0, 1, 3, 4, 6, 7]
    assert first[1].tolist() == [0, 0, 1, 2, 1, 2]
    assert second[0].tolist() == [2, 5, 8, 9, 10, 12]
    with pytest.raises(UserError, match=r"take 5 images of each class, and there are 4 of class 1.*--saliency_batches"):
        balanced_batches(batches, number=1, per_class=5, classes=3)
    with pytest.raises(UserError, match="there are 0 of class 3"):
        balanced_batches(batches, number=1, per_class=1, classes=4)
    assert len(balanced_batches(batches, number=1, per_class=5, classes=4, partial=True)[0][0]) == 13


def test_class_balanced_batches_are_drawn_for_any_criterion(run):
    command = (
        "--model LeNet300 --data_set DIGITS --prune_criterion GRASP --epochs 0 --N 200 --batch_size 16 "
        "--disable_histograms --no_compact"
    )
    assert run(f"{command} --samples_per_class 2 --saliency_batches 1").status == 0
    refused = run(f"{command} --samples_per_class 100")
    assert refused.status == 2
    assert "--samples_per_class 100: 5 such batches take 500 images of each class" in refused.err


def test_scores_see_as_many_images_of_each_class(trained):
    seen = []

    class Seeing(SNIP):
        def scores(self, batches):
            batches = list(batches)
            seen.extend(targets.bincount().tolist() for _, targets in batches)
            return super().scores(batches)

    inputs, targets = images(30)
    loader = [(inputs, targets.minimum(torch.tensor(2))), (inputs, targets)]
    secateur.prune(copy.deepcopy(trained), Seeing, sparsity=0.5, batches=loader, samples_per_class=3)
    assert seen == [[3, 3, 3]] * 5


def test_structured_criteria_are_among_them():
    assert sum(issubclass(kind, StructuredCriterion) for kind in CRITERIA) > 10
    assert len(BY_GRADIENT) >= 13
