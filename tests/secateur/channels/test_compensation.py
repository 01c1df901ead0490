"""To which layers what makes up for removed channels applies, and what is said where it does not."""

import importlib
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.chains import find_chains
from secateur.channels.surgery import Surgery
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.SNAP import SNAP
from secateur.pruning.masks import Masks
from tests.compensated import double, outputs, pruned, randomised


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


def test_what_merging_leaves_as_it_is_is_named_once():
    removals = [("clipped", [0]), ("left", [1])]
    network = Wired()
    with torch.no_grad():
        network.left.weight[1], network.left.bias[1] = network.left.weight[0], network.left.bias[0]
    (notice,) = pruned(network, torch.zeros(1, 1, 2, 2), removals, "merge")
    assert notice.startswith("--compensate merge does not apply to clipped: ")


def test_each_residual_block_merges_inside_alone(make_run):
    run = make_run("--model ResNet20 --prune_criterion L1Norm --epochs 1")
    chains = find_chains(Surgery(run.network, run.example))
    assert sorted(chains) == [f"stages.{block}.conv1" for block in range(9)]
    assert all(found[0].norm[0] == name.replace("conv1", "bn1") for name, found in chains.items())


def test_pruned_weights_stay_zero():
    for method, notices in (("merge", 0), ("least_squares", 1)):
        network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        double(network[0])
        masks = Masks(network)
        masks.set({"2": torch.arange(network[2].weight.numel()).view_as(network[2].weight) % 2 == 0})
        found = pruned(network, torch.zeros(1, 6), [("0", [1])], method, [torch.randn(9, 6)], masks)
        assert len(found) == notices
        assert not network[2].weight[~masks.kept["2"]].any()
        assert network[2].weight[masks.kept["2"]].all()


@pytest.mark.parametrize("kind", [L1Norm, SNAP])
def test_least_squares_sees_the_batches_that_the_scores_were_computed_on(kind):
    def refitted(batches):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        masks = Masks(network)
        criterion = kind(network, masks, functional.cross_entropy, masks.weights, compensate="least_squares")
        criterion.example, criterion.dense_outputs = torch.zeros(1, 6), {"0": 5, "2": 3}
        assert criterion.prune(0.4, batches).removed
        return network[2].weight

    batches = [(torch.randn(9, 6), torch.arange(9) % 3)] * 2
    assert torch.equal(refitted(iter(batches)), refitted(batches))
    assert not torch.equal(refitted(batches), refitted([(2 * torch.randn(9, 6), torch.arange(9) % 3)]))


def test_options_of_merging_alone_are_reported(make_run):
    run = make_run("--model LeNet300 --N 64 --prune_criterion L1Norm --epochs 1 --merge_lambda 0.5")
    assert run.notices == ["--merge_lambda has no effect without --compensate merge"]
    run = make_run("--model LeNet300 --N 64 --prune_criterion L1Norm --epochs 1 --merge_lambda 0.5 --compensate merge")
    assert run.notices == []


def test_rewinding_which_undoes_it_is_reported(make_run):
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    double(network[0])
    (idle,) = pruned(network, torch.zeros(1, 6), [("0", [1])], "merge", rewinds=True)
    assert idle == "--compensate merge has no effect with rewinding"
    for flags in ("--enable_rewinding", "--experiment multishot --pre_epochs 1"):
        assert make_run(f"--model LeNet300 --N 64 --prune_criterion L1Norm --epochs 1 {flags}").criterion.rewinds


SHAPES = {
    "LeNet300": (1, 8, 8),
    "LeNet5": (1, 28, 28),
    "ResNet20": (3, 16, 16),
    "VGG11": (3, 16, 16),
    "MobileNetV2": (3, 16, 16),
    "SqueezeNet_vanilla": (3, 32, 32),
}


@pytest.mark.parametrize(("model", "method"), list(itertools.product(SHAPES, ("merge", "least_squares"))))
def test_it_runs_on_any_network(model, method):
    shape = SHAPES[model]
    network = randomised(getattr(importlib.import_module(f"secateur.models.{model}"), model)(shape, 10))
    masks = Masks(network)
    criterion = L1Norm(network, masks, functional.cross_entropy, masks.weights, compensate=method)
    criterion.example = torch.zeros(1, *shape)
    criterion.dense_outputs = {name: layer.weight.shape[0] for name, layer in network.named_modules()
                               if isinstance(layer, nn.Linear | nn.Conv2d)}  # fmt: skip
    images = torch.randn(4, *shape)
    step = criterion.prune(0.3, [(images, torch.zeros(4, dtype=torch.long))])
    assert step.removed
    found = outputs(network, images)
    assert found.shape == (4, 10)
    assert found.isfinite().all()
