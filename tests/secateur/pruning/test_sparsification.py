"""Copies of a run's network that a criterion prunes at once: what it looks at, and what is left of the run."""

import itertools

import pytest
import torch

from secateur.criterions.GradualMagnitude import GradualMagnitude
from secateur.criterions.L1Norm import L1Norm
from secateur.criterions.Magnitude import Magnitude
from secateur.criterions.SNAPit import SNAPit
from secateur.criterions.SNIPit import SNIPit
from secateur.criterions.SNIPitDuring import SNIPitDuring
from secateur.criterions.UnstructuredRandom import UnstructuredRandom
from secateur.pruning import sparsification
from secateur.pruning.criterion import Criterion
from secateur.pruning.sparsification import criterion_of_copy, pruned_by
from secateur.utils.errors import UserError

HIDDEN = ("features.1", "features.3")


@pytest.fixture
def started(make_run):
    """A run on small images, of three batches, that has trained nothing."""
    return make_run("--model LeNet300 --data_set RUBBISH --input_dim 1 6 6 --N 24 --batch_size 8 --epochs 0 --seed 5")


def kept_of(network):
    return [int(network.get_submodule(name).weight.count_nonzero()) for name in (*HIDDEN, "classifier")]


def test_the_criterion_is_of_a_copy_with_the_masks_of_the_run_and_looks_at_its_first_batches(started):
    mask = torch.rand(300, 36) > 0.5
    started.masks.set({"features.1": mask})
    before = {name: tensor.clone() for name, tensor in started.network.state_dict().items()}
    criterion, batches = criterion_of_copy(started, SNIPitDuring, {"saliency_batches": 2, "snip_steps": 3})
    assert list(criterion.masks.kept) == ["features.1"]
    assert torch.equal(criterion.masks.kept["features.1"], mask)
    assert list(criterion.weights) == [*HIDDEN, "classifier"]  # the outer ones too
    assert (criterion.seed, criterion.smoke, criterion.snip_steps) == (5, False, 3)
    assert criterion_of_copy(started, Magnitude, {}, smoke=True)[0].smoke
    expected = list(itertools.islice(started.data.train.epoch(0), 2))
    assert len(batches) == 2
    for (images, classes), (wanted, theirs) in zip(batches, expected, strict=True):
        assert torch.equal(images, wanted)
        assert torch.equal(classes, theirs)
    criterion.prune(0.9, batches)
    assert all(torch.equal(before[name], tensor) for name, tensor in started.network.state_dict().items())
    assert torch.equal(started.masks.kept["features.1"], mask)


def test_a_network_without_channels_to_remove_is_refused(make_run):
    run = make_run("--model LogisticRegression --data_set RUBBISH --input_dim 1 6 6 --N 24 --batch_size 8 --epochs 0")
    with pytest.raises(UserError, match="no channels of this network can be removed"):
        criterion_of_copy(run, L1Norm, {})


@pytest.mark.parametrize(
    ("kind", "options", "sparsities"),
    [
        (Magnitude, {}, [0.75]),
        (SNIPit, {}, [0.5, 0.625, 0.6875, 0.71875, 0.734375, 0.7421875, 0.75]),
        (SNIPit, {"snip_steps": 1}, [0.5, 0.625, 0.75]),
        (GradualMagnitude, {}, [0.75]),  # whose steps depend on the epochs, of which there are none
    ],
)
def test_steps_are_made_by_the_criterions_schedule(started, monkeypatch, kind, options, sparsities):
    seen, prune = [], Criterion.prune

    def noted(self, sparsity, batches, *others):
        seen.append((sparsity, len(batches)))
        return prune(self, sparsity, batches, *others)

    monkeypatch.setattr(Criterion, "prune", noted)
    network, _ = pruned_by(started, kind, 0.75, 2, **options)
    assert seen == [(sparsity, 2) for sparsity in sparsities]
    first, second, last = kept_of(network)
    assert first + second == (36 * 300 + 300 * 100) // 4
    assert last == 1000  # which is spared


def test_weights_are_spread_as_asked_and_channels_as_their_criterion_has_it(started):
    network, _ = pruned_by(started, Magnitude, 0.75, 1, "uniform")
    assert kept_of(network) == [36 * 300 // 4, 300 * 100 // 4, 1000]
    network, _ = pruned_by(started, L1Norm, 0.75, 1, "erdos_renyi")
    assert [tuple(weight.shape) for weight in network.parameters() if weight.dim() > 1] == [
        (75, 36),
        (25, 75),
        (10, 25),
    ]
    network, _ = pruned_by(started, Magnitude, 0.75, 1, "uniform", ignore_layers=["features.1"])
    assert kept_of(network)[0] == 36 * 300


def test_the_network_is_drawn_by_the_seed_of_the_run_and_repaired_when_that_is_asked(started, monkeypatch):
    asked, repair = [], sparsification.repair

    def noted(*given):
        asked.append(given[-1])
        return repair(*given)

    monkeypatch.setattr(sparsification, "repair", noted)
    network, mend = pruned_by(started, SNAPit, 0.5, 3, snip_steps=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    (done,) = mend(["least_squares"])
    assert (done.name, done.taken_back) == ("least_squares", False)
    assert done.error_after < 0.5 * done.error_before
    assert not torch.equal(network.classifier.weight, before["classifier.weight"])
    assert asked[0].seed == 5
    first, again = (pruned_by(started, UnstructuredRandom, 0.5, 1)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], tensor) for name, tensor in again.items())
