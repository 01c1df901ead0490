"""What is done for channels that go: exact where it can be, never worse than nothing, on any network."""

import copy
import importlib
import itertools

import pytest
import torch
from torch import nn

from criterions.L1Norm import L1Norm
from utils.modes import evaluation_mode
from utils.pruning.chains import find_chains
from utils.pruning.compensation import compensate
from utils.pruning.masks import Masks
from utils.pruning.merging import Norm, affine_behind_norm, partners_behind_norm, partners_of
from utils.pruning.surgery import Surgery


@pytest.fixture
def pruned(make_arguments):
    """Remove channels from a network after making up for them; returns the notices."""

    def make(network, example, cuts, flags, batches=(), masks=None):
        surgery = Surgery(network, example)
        arguments = make_arguments(f"--prune_criterion L1Norm --compensate {flags}")
        masks = masks or Masks(network)
        notices = compensate(surgery, cuts, [(inputs, None) for inputs in batches], masks, arguments)
        masks.cut(surgery.remove(cuts))
        return notices

    return make


def outputs(network, images):
    with torch.no_grad(), evaluation_mode(network):
        return network(images)


def randomised(network):
    """Give the norms numbers that a trained network could have."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


def double(layer, norm=None):
    """Make channels 1 and 3 the multiples 2 and 0.5 of channel 0, behind the norm too."""
    with torch.no_grad():
        for channel, factor in ((1, 2.0), (3, 0.5)):
            layer.weight[channel] = factor * layer.weight[0]
            if layer.bias is not None:
                layer.bias[channel] = factor * layer.bias[0]
            if norm:
                # (factor x - mean) / sqrt(variance + eps) is as before; scale and shift make it twice as much
                norm.running_mean[channel] = factor * norm.running_mean[0]
                norm.running_var[channel] = factor**2 * (norm.running_var[0] + norm.eps) - norm.eps
                norm.weight[channel], norm.bias[channel] = 2 * norm.weight[0], 2 * norm.bias[0]


PLAIN = {
    "linear": ((1, 6), lambda: [nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)]),
    "leaky": ((1, 6), lambda: [nn.Linear(6, 5), nn.LeakyReLU(0.05), nn.Linear(5, 3)]),
    "convolution": (
        (1, 2, 8, 8),
        lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 3, 3, padding=1), nn.Flatten()],
    ),
    "flattened": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 3)],
    ),
    "transposed": ((1, 2, 4, 4), lambda: [nn.Conv2d(2, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 3, 2), nn.Flatten()]),
}
NORMED = {
    "convolution and norm": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.Flatten()],
    ),
    "flattened and norm": (
        (1, 2, 6, 6),
        lambda: [nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)],
    ),
    "linear and norm": ((1, 6), lambda: [nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)]),
    "pooled before": (
        (1, 2, 8, 8),
        lambda: [nn.Conv2d(2, 5, 3), nn.MaxPool2d(2), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3)],
    ),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_merging_loses_nothing_of_neurons_that_are_multiples_of_others(pruned, kind):
    shape, layers = PLAIN[kind]
    network = nn.Sequential(*layers())
    double(network[0])
    images = torch.randn(16, *shape[1:])
    expected = outputs(network, images)
    assert pruned(network, torch.zeros(shape), [("0", [1, 3])], "merge") == []
    assert len(network[0].weight) == 3
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", NORMED)
def test_the_algebraic_form_loses_nothing_through_batch_norm(pruned, kind):
    shape, layers = NORMED[kind]
    network = randomised(nn.Sequential(*layers()))
    double(network[0], next(module for module in network if isinstance(module, nn.modules.batchnorm._BatchNorm)))
    images = torch.randn(16, *shape[1:])
    expected = outputs(network, images)
    flags = "merge --merge_formula algebraic --merge_threshold 0.99 --merge_lambda 1"
    assert pruned(network, torch.zeros(shape), [("0", [1, 3])], flags) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model", "layers"), [pytest.param("VGG16", 13, marks=pytest.mark.slow), ("ResNet20", 9)])
def test_the_algebraic_form_loses_nothing_in_whole_networks(pruned, model, layers):
    network = randomised(getattr(importlib.import_module(f"models.{model}"), model)((3, 32, 32), 10)).double()
    example = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    chains = find_chains(Surgery(network, example))
    normed = {root: network.get_submodule(found[0].norm[0]) for root, found in chains.items() if found[0].norm}
    assert len(normed) == layers
    for root, norm in normed.items():
        double(network.get_submodule(root), norm)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    expected = outputs(network, images)
    removed = copy.deepcopy(network)
    flags = "merge --merge_formula algebraic --merge_threshold 0.99 --merge_lambda 1"
    cuts = [(root, [1, 3]) for root in normed]
    assert pruned(network, example, cuts, flags) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))
    pruned(removed, example, cuts, "none")
    assert float((outputs(removed, images) - expected).abs().max() / expected.abs().max()) > 0.01


def test_partners_have_the_largest_cosine_and_the_ratio_of_sizes():
    rows = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 10.0]])  # cosines of row 0: 3/5 and 4/5
    partners = partners_of(rows, torch.tensor([1, 2]), torch.tensor([0]), 0.8)
    assert partners.kept.tolist() == [1]
    assert partners.scale.item() == pytest.approx(0.5)
    assert partners_of(rows, torch.tensor([1, 2]), torch.tensor([0]), 0.81).scale.tolist() == [0]


def test_the_bias_is_a_part_of_the_neuron(pruned):
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    network.load_state_dict(
        {
            "0.weight": torch.tensor([[4.0], [3.0]]),
            "0.bias": torch.tensor([3.0, 4.0]),  # the cosine is 24/25, that of the weights alone 1
            "2.weight": torch.tensor([[2.0, 7.0]]),
        }
    )
    pruned(network, torch.zeros(1, 1), [("0", [1])], "merge --merge_threshold 0.96")
    assert network[2].weight.tolist() == [[9.0]]


#: Kept c and removed p: s = 2, g_c = 1, g_p = 3, shifts 1 and 6, means 5 and 4, variances 4 and 9.
NORM = Norm(
    *torch.tensor([[1.0, 3.0], [1.0, 6.0], [5.0, 4.0], [4.0, 9.0]], dtype=torch.float64).unbind(0),
    eps=0.0,
)


@pytest.mark.parametrize(
    ("formula", "slope", "offset"),
    [
        # S = s (g_c/g_p)(v_p/v_c) = 2 (1/3)(9/4); B = (1/4)(2 (4 - 9*6/3) - 5) + 1
        ("published", 1.5, -7.25),
        # S = s (g_p/g_c)(q_c/q_p) = 2 * 3 * 2/3; B = (3/3)(2 (5 - 2*1/1) - 4) + 6
        ("algebraic", 4.0, 8.0),
    ],
)
def test_the_formulas_give_the_numbers_worked_by_hand(formula, slope, offset):
    ratio = torch.tensor([[2.0]], dtype=torch.float64)
    found = affine_behind_norm(ratio, NORM, torch.tensor([0]), torch.tensor([1]), formula)
    assert [number.item() for number in found] == pytest.approx([slope, offset])


def test_the_published_formula_changes_the_next_layer_by_the_number_worked_by_hand(pruned):
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2, eps=0), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))
        network[3].weight.copy_(torch.tensor([10.0, 100.0]).view(1, 2, 1, 1))
        norm = network[1]
        for tensor, numbers in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), NORM, strict=False):
            tensor.copy_(numbers)
    pruned(network, torch.zeros(1, 1, 2, 2), [("0", [1])], "merge")
    assert network[3].weight.item() == pytest.approx(10 + 1.5 * 100)


def test_lambda_weighs_the_cosine_against_what_the_norm_shifts():
    # Row 2 goes. Row 0 has the cosine 1 and B = 4, row 1 the cosine 0.6 and B = 0; S = 1 for both.
    filters = torch.tensor([[5.0, 0.0], [3.0, 4.0], [5.0, 0.0]], dtype=torch.float64)
    ones, means = torch.ones(3, dtype=torch.float64), torch.tensor([0.0, -4.0, -4.0], dtype=torch.float64)
    norm = Norm(ones, torch.zeros_like(ones), means, ones, 0.0)
    for balance, partner in ((1.0, 0), (0.8, 0), (0.7, 1), (0.0, 1)):  # 1 - balance against 0.4 balance
        kept, removed = torch.tensor([0, 1]), torch.tensor([2])
        found = partners_behind_norm(filters, norm, kept, removed, 0.1, balance, "algebraic")
        assert (found.kept.item(), found.scale.item()) == (partner, 1)


def test_a_negative_multiple_and_norms_that_are_all_alike_are_no_trap():
    filters = torch.tensor([[1.0, 0.0], [0.9, 0.1], [1.0, 0.0]], dtype=torch.float64)
    ones = torch.ones(3, dtype=torch.float64)
    kept, removed = torch.tensor([0, 1]), torch.tensor([2])
    for formula in ("published", "algebraic"):
        alike = Norm(ones, 0 * ones, 0 * ones, ones, 0.0)  # |B| / S is 0 for each: the cosine decides
        assert partners_behind_norm(filters, alike, kept, removed, 0.1, 0.5, formula).kept.item() == 0
        turned = Norm(torch.tensor([-1.0, 1.0, 1.0]).double(), 0 * ones, 0 * ones, ones, 0.0)
        assert partners_behind_norm(filters, turned, kept, removed, 0.1, 0.5, formula).kept.item() == 1
        opposed = Norm(torch.tensor([1.0, 1.0, -1.0]).double(), 0 * ones, 0 * ones, ones, 0.0)
        assert partners_behind_norm(filters, opposed, kept, removed, 0.1, 0.5, formula).scale.item() == 0


def test_below_the_threshold_nothing_is_merged(pruned):
    for shape, layers in (*PLAIN.values(), *NORMED.values()):
        merged = randomised(nn.Sequential(*layers()))
        plain = nn.Sequential(*layers())
        plain.load_state_dict(merged.state_dict())
        (notice,) = pruned(merged, torch.zeros(shape), [("0", [1, 3])], "merge --merge_threshold 1")
        assert notice.startswith("--compensate merge finds no filters alike")
        pruned(plain, torch.zeros(shape), [("0", [1, 3])], "none")
        for name, tensor in plain.state_dict().items():
            assert torch.equal(merged.state_dict()[name], tensor)


class Wired(nn.Module):
    """Layers that each put a question to the search for chains."""

    def __init__(self):
        super().__init__()
        self.added = nn.Conv2d(1, 4, 1)
        self.other = nn.Conv2d(1, 4, 1)
        self.clipped = nn.Conv2d(4, 4, 1)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 2, 1)
        self.shifted = nn.Conv2d(5, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise_before = nn.Conv2d(4, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 1, groups=4)
        self.twice_before = nn.Conv2d(4, 4, 1)
        self.twice = nn.Conv2d(4, 4, 1)
        self.last = nn.Linear(4, 2)

    def forward(self, images):
        x = torch.relu(self.added(images) + self.other(images))
        x = nn.functional.relu6(self.clipped(x))
        x = torch.relu(torch.cat([self.left(x), self.right(x)], 1))
        x = self.norm(torch.relu(self.shifted(x)))
        x = self.depthwise(self.depthwise_before(x))
        x = self.twice(torch.relu(self.twice(torch.relu(self.twice_before(x)))))
        return self.last(x.mean((2, 3)))


def test_only_chains_that_keep_multiples_are_found():
    chains = find_chains(Surgery(Wired(), torch.zeros(1, 1, 2, 2)))
    assert {name: [chain.reader for chain in found] for name, found in chains.items()} == {
        "left": ["shifted"],
        "right": ["shifted"],
    }
    assert chains["right"][0].columns.tolist() == [[3], [4]]  # behind those of left


def test_what_merging_leaves_as_it_is_is_named_once(pruned):
    cuts = [("clipped", [0]), ("left", [1])]
    network = Wired()
    with torch.no_grad():
        network.left.weight[1], network.left.bias[1] = network.left.weight[0], network.left.bias[0]
    (notice,) = pruned(network, torch.zeros(1, 1, 2, 2), cuts, "merge")
    assert notice.startswith("--compensate merge does not apply to clipped: ")


def test_each_residual_block_merges_inside_alone(make_run):
    run = make_run("--model ResNet20 --prune_criterion L1Norm --epochs 1")
    chains = find_chains(Surgery(run.network, run.example))
    assert sorted(chains) == [f"stages.{block}.conv1" for block in range(9)]
    assert all(found[0].norm[0] == name.replace("conv1", "bn1") for name, found in chains.items())


@pytest.mark.parametrize("kind", ["linear", "convolution", "flattened"])
def test_least_squares_is_exact_where_inputs_are_combinations_of_others(pruned, kind):
    shape, layers = PLAIN[kind]
    network = nn.Sequential(*(layer for layer in layers() if not isinstance(layer, nn.ReLU | nn.MaxPool2d)))
    if kind == "flattened":
        network[-1] = nn.Linear(20, 3)
    with (
        torch.no_grad()
    ):  # channel 4 is a combination of 0 and 2, and a number that the bias takes but where there is padding
        network[0].weight[4] = network[0].weight[0] - network[0].weight[2]
        network[0].bias[4] = network[0].bias[0] - network[0].bias[2] + (0.7 if kind != "convolution" else 0)
    images = torch.randn(256, *shape[1:])
    expected = outputs(network, images)
    assert pruned(network, torch.zeros(shape), [("0", [4])], "least_squares", [images[:100], images[100:]]) == []
    torch.testing.assert_close(outputs(network, images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "seed"), list(itertools.product((*PLAIN, *NORMED), range(3))))
def test_least_squares_is_never_worse_than_removal_alone(pruned, kind, seed):
    torch.manual_seed(seed)
    shape, layers = (PLAIN | NORMED)[kind]
    fitted, plain = randomised(nn.Sequential(*layers())), nn.Sequential(*layers())
    plain.load_state_dict(fitted.state_dict())
    images = torch.randn(3 + 40 * seed, *shape[1:])  # fewer than there are weights too
    expected = outputs(fitted, images)
    pruned(fitted, torch.zeros(shape), [("0", [1, 3])], "least_squares", [images])
    pruned(plain, torch.zeros(shape), [("0", [1, 3])], "none")
    errors = [float((outputs(network, images) - expected).norm()) for network in (fitted, plain)]
    assert errors[0] <= errors[1] * (1 + 1e-6)
    assert kind == "transposed" or errors[0] < errors[1]


def test_least_squares_fits_behind_layers_that_were_fitted(pruned):
    """The last layer's inputs are off by what the others lost; those of the original network would not show it."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))
    images = torch.randn(500, 8)
    expected = outputs(network, images)
    pruned(network, torch.zeros(1, 8), [("0", [0, 1, 2, 3]), ("2", [1])], "least_squares", [images])
    hidden = torch.cat([outputs(network[:4], images), torch.ones(500, 1)], 1).double()
    best = torch.linalg.lstsq(hidden, expected.double()).solution
    least = float((hidden @ best - expected).norm())
    assert float((outputs(network, images) - expected).norm()) == pytest.approx(least, rel=1e-3)


def test_pruned_weights_stay_zero(pruned):
    for way, notices in (("merge", 0), ("least_squares", 1)):
        network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        double(network[0])
        masks = Masks(network)
        masks.set({"2": torch.arange(network[2].weight.numel()).view_as(network[2].weight) % 2 == 0})
        found = pruned(network, torch.zeros(1, 6), [("0", [1])], way, [torch.randn(9, 6)], masks)
        assert len(found) == notices
        assert not network[2].weight[~masks.kept["2"]].any()
        assert network[2].weight[masks.kept["2"]].all()


def test_flags_of_merging_alone_and_rewinding_are_told(pruned):
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    (idle,) = pruned(network, torch.zeros(1, 6), [("0", [1])], "none --merge_lambda 0.5")
    assert idle == "--merge_lambda has no effect without --compensate merge"
    double(network[0])
    (idle,) = pruned(network, torch.zeros(1, 6), [("0", [1])], "merge --enable_rewinding")
    assert idle == "--compensate merge has no effect where training goes back to earlier weights"


SHAPES = {
    "LeNet300": (1, 8, 8),
    "LeNet5": (1, 28, 28),
    "ResNet20": (3, 16, 16),
    "VGG11": (3, 16, 16),
    "MobileNetV2": (3, 16, 16),
    "SqueezeNet_vanilla": (3, 32, 32),
}


@pytest.mark.parametrize(("model", "way"), list(itertools.product(SHAPES, ("merge", "least_squares"))))
def test_it_runs_on_any_network(make_arguments, model, way):
    shape = SHAPES[model]
    network = randomised(getattr(importlib.import_module(f"models.{model}"), model)(shape, 10))
    masks = Masks(network)
    arguments = make_arguments(f"--prune_criterion L1Norm --compensate {way}")
    criterion = L1Norm(network, masks, nn.functional.cross_entropy, masks.weights, arguments)
    criterion.example = torch.zeros(1, *shape)
    criterion.dense_outputs = {name: layer.weight.shape[0] for name, layer in network.named_modules()
                               if isinstance(layer, nn.Linear | nn.Conv2d)}  # fmt: skip
    images = torch.randn(4, *shape)
    event = criterion.prune(0.3, [(images, torch.zeros(4, dtype=torch.long))])
    assert event.history
    found = outputs(network, images)
    assert found.shape == (4, 10)
    assert found.isfinite().all()
