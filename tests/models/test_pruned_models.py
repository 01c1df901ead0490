"""Every network trains a step, and is pruned of weights and of channels."""

from pathlib import Path

import pytest
import torch

from secateur.trainers.DefaultTrainer import DefaultTrainer
from tests.models.networks import make_shallow

#: Many layers to trace, or many weights.
HEAVY = ("DenseNet", "WideResNet", "ResNet50", "ResNet56", "ResNet110", "GoogLeNet", "ViT_tiny", "VGG19")
NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "models").glob("*.py") if path.stem[0] != "_")
NETWORKS = [pytest.param(name, marks=[pytest.mark.slow] if name.startswith(HEAVY) else []) for name in NAMES]
COMMAND = "--data_set RUBBISH --input_dim 3 16 16 --N 8 --batch_size 4 --saliency_batches 1 --epochs 0"
COMMAND += " --prune_schedule one_shot"
LIMIT = 0.5


@pytest.fixture(autouse=True)
def _shallow(monkeypatch):
    make_shallow(monkeypatch)


def step(trainer):
    """Train on one batch; every kept weight has a gradient."""
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    trainer.train_batch(*next(iter(trainer.data.train)))
    after = list(trainer.network.parameters())
    assert all(parameter.isfinite().all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_pruned_exactly_and_the_rest_trains(make_run, name):
    run = make_run(f"--model {name} --prune_criterion SNIPit --pruning_limit {LIMIT} --outer_layer_pruning {COMMAND}")
    trainer = DefaultTrainer(run)
    trainer.prune_as_planned()
    kept = {layer: mask.clone() for layer, mask in run.masks.kept.items()}
    total = sum(weight.numel() for weight in run.masks.weights.values())
    assert sum(int(mask.sum()) for mask in kept.values()) == total - round(LIMIT * total)
    step(trainer)
    for layer, mask in kept.items():
        assert not run.masks.weights[layer][~mask].any()


@pytest.mark.parametrize("name", [network for network in NETWORKS if network.values != ("LogisticRegression",)])
def test_channels_are_removed_and_the_rest_trains(make_run, name):
    run = make_run(f"--model {name} --prune_criterion SNAPit --pruning_limit {LIMIT} {COMMAND}")
    trainer = DefaultTrainer(run)
    trainer.prune_as_planned()
    run.criterion.trace()
    # Whole coupled groups go, and a layer keeps one channel: the target is met as nearly as that allows.
    assert abs(run.criterion.nodes / run.criterion.dense_nodes - (1 - LIMIT)) < 0.02
    step(trainer)
    assert run.network(torch.zeros(2, 3, 16, 16)).shape == (2, run.data.num_classes)
