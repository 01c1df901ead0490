"""Channels removed from a copy of a run's network, by a criterion that need not be the run's own."""

import pytest
import torch

from secateur.channels.removal import removed
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.StructuredRandom import StructuredRandom


@pytest.fixture
def run(make_run):
    """Build a run of LeNet300, which has 300 and 100 units, whose criterion is SNAP."""
    return lambda flags="": make_run(f"--model LeNet300 --N 64 --prune_criterion SNAP --epochs 1 {flags}")


def widths(network):
    return [layer.out_features for layer in network.modules() if isinstance(layer, torch.nn.Linear)]


def test_the_criterion_has_its_own_defaults_and_what_was_given(run):
    dense = run()
    network, step = removed(dense, L1Norm, 0.5, "none")
    assert widths(network) == [150, 50, 10]  # uniform, as L1Norm is where SNAP is global
    assert (step.candidates, step.kept) == (400, 200)
    assert widths(dense.network) == [300, 100, 10]
    network, step = removed(run("--distribution global"), L1Norm, 0.5, "none")
    assert sum(widths(network)) == 210
    assert widths(network)[0] != 150


def test_what_is_random_follows_the_seed_of_the_run(run):
    def channels(seed):
        _, step = removed(run(f"--seed {seed}"), StructuredRandom, 0.5, "none")
        return step.removed

    assert channels(1) == channels(1) != channels(2)


def test_a_compensation_that_rewinding_undoes_is_reported(run):
    _, step = removed(run("--enable_rewinding"), L1Norm, 0.5, "least_squares")
    assert step.notices == ["--compensate least_squares has no effect with rewinding"]


class Watching(L1Norm):
    """Keeps what it was made with, and the first images that it is given."""

    seen = []

    def prune(self, sparsity, batches, epoch=0, last=False):
        masks = {name: mask.clone() for name, mask in self.masks.kept.items()}
        self.seen.append((self, sparsity, masks, next(iter(batches))[0]))
        return super().prune(sparsity, [], epoch, last)


def test_the_criterion_is_given_masks_and_data_of_the_run_and_what_is_ignored(run):
    dense = run("--ignore_layers features.3")
    mask = torch.ones_like(dense.network.features[1].weight, dtype=torch.bool)
    mask[7] = False
    dense.masks.set({"features.1": mask})
    before = {name: tensor.clone() for name, tensor in dense.network.state_dict().items()}
    Watching.seen.clear()
    network, step = removed(dense, Watching, 0.25, "merge")
    ((chooser, ratio, masks, images),) = Watching.seen
    assert (ratio, step.kept, widths(network)) == (0.25, 225, [225, 100, 10])
    assert chooser.network is network
    assert masks["features.1"].equal(mask)
    assert chooser.ignored == {"features.3"}
    assert chooser.compensate == "merge"
    assert (chooser.seed, chooser.rewinds) == (dense.criterion.seed, dense.criterion.rewinds)
    assert images.equal(next(iter(dense.data.train.epoch(0)))[0])
    assert all(tensor.equal(before[name]) for name, tensor in dense.network.state_dict().items())
