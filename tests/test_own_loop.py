"""A loop of plain torch prunes what main.py prunes, bit for bit, with the one line that makes a `secateur.Pruner`."""

import pytest
import torch
from torch.nn import functional

import secateur
from secateur.hooks import observed_by_none

EPOCHS, SEED = 5, 7
#: Few pruning steps, so that all fit, and thresholds that some weights are below.
OPTIONS = {
    "SynFlow": {"snip_steps": 5},
    "FORCE": {"snip_steps": 5},
    "RigL": {"update_steps": 3},
    "HoyerSquare": {"hoyer_threshold": 0.02},
    "GroupHoyerSquare": {"hoyer_threshold": 0.1},
    "GateDecorators": {"snip_steps": 2, "tick_epochs": 1, "tock_epochs": 0},
}
DURING = ("SNIPitDuring", "SNAPitDuring", "CNIPitDuring", "GradualMagnitude", "IMP", "MovementPruning", "SET")


def options_of(criterion):
    own = {"snip_steps": 2} if criterion in DURING else OPTIONS.get(criterion, {})
    return own if criterion in ("EmptyCrit", "HoyerSquare", "GroupHoyerSquare") else {"pruning_limit": 0.7, **own}


def train(network, batches, optimizer):
    for epoch in range(EPOCHS):
        network.train()
        for inputs, targets in batches.epoch(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("criterion", secateur.names("criterions"))
@pytest.mark.slow
def test_every_criterion_prunes_the_same_in_a_loop_of_ones_own(make_run, criterion):
    model = "ResNet20" if criterion in ("BNScale", "GateDecorators") else "LeNet5"
    flags = {"model": model, "prune_criterion": criterion, **options_of(criterion)}
    flags |= {"N": 96, "batch_size": 32, "epochs": EPOCHS, "seed": SEED, "grad_clip": 0, "eval_freq": 0}
    flags |= {"train_scheme": "DefaultTrainer", "loss": "CrossEntropy"}
    run = make_run(" ".join(f"--{flag} {value}" for flag, value in flags.items()) + " --no_compact")
    run.hooks = observed_by_none()
    network = run.fresh_network(SEED)
    run.settings.components["train_scheme"].load()(run).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=5e-5, fused=True)
    torch.manual_seed(SEED)
    pruner = secateur.Pruner(
        network,
        criterion,
        batches=run.data.train,
        optimizer=optimizer,
        epochs=EPOCHS,
        seed=SEED,
        **options_of(criterion),
    )
    train(network, run.data.train, optimizer)
    assert same(pruner.masks.kept, run.masks.kept)
    assert same(network.state_dict(), run.network.state_dict())
    assert pruner.removed == run.removed
    assert pruner.finished
