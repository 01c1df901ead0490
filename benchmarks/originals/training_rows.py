"""Rows of criteria that prune while they train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

import secateur
from originals import weights
from originals.bench import SAME, SEED, Bench, Row, best
from originals.program import Batch, ByLayer, Found, weighted
from secateur.losses.GroupHoyerSquareCrossEntropy import group_hoyer_square
from secateur.losses.HoyerSquareCrossEntropy import hoyer_square


def update(network: nn.Module, criterion: str, masks: ByLayer, batch: Batch, **options: object) -> Found:
    """Make one update of a criterion that trains sparse, from these masks."""
    pruner = secateur.Pruner(
        network, criterion, sparsity=0.5, batches=[batch], epochs=100, outer_layer_pruning=True, planned=False,
        attach=False, saliency_batches=1, **options,
    )  # fmt: skip
    pruner.masks.set(
        {name: masks.get(name, torch.ones_like(weight.weight).bool()) for name, weight in weighted(network).items()}
    )
    pruner.criterion.times = [10 / 1000]
    step = pruner.criterion.prune(0.5, [batch])
    return Found(step.scores, step.masks)


def dynamic(bench: Bench) -> Iterator[Row]:
    """An update of RigL."""
    for name in ("LeNet300", "ResNet20"):
        network, batch = bench.network(name), bench.batches(name)[0]

        def theirs(sparsity: float, network: nn.Module = network, batch: Batch = batch) -> Found:
            torch.manual_seed(SEED)
            return weights.rigl(bench.originals, network, batch, sparsity)[0]

        def own(sparsity: float, network: nn.Module = network, batch: Batch = batch) -> Found:
            torch.manual_seed(SEED)  # of which the program draws its first mask
            _, before, masks = weights.rigl(bench.originals, network, batch, sparsity)
            return update(before, "RigL", masks, batch)

        yield bench.row("RigL, one update", "rigl-torch", name, SAME, theirs, own)


def signs(bench: Bench) -> Iterator[Row]:
    """What SET drops of weights that are there; what grows is random."""
    network = bench.network("LeNet300")
    torch.manual_seed(SEED)
    for layer in weighted(network).values():
        layer.weight.data *= torch.rand_like(layer.weight) > 0.9

    def theirs(rate: float) -> Found:
        parts = {name: layer.weight.detach() for name, layer in weighted(network).items()}
        return Found(None, weights.evolution(bench.originals, parts, rate))

    def own(rate: float) -> Found:
        masks = {name: layer.weight != 0 for name, layer in weighted(network).items()}
        return update(
            copy.deepcopy(network), "SET", masks, bench.batches("LeNet300")[0], pruning_rate=rate, growing_rate=0
        )

    why = "nothing but how the numbers of weights are rounded (the sparsity is the share that is dropped)"
    yield bench.row("SET, what an update drops", "SET", "LeNet300", why, theirs, own, (0.3, 0.5))


def training(bench: Bench) -> Iterator[Row]:
    """What is made of training steps and of the loss: movement pruning and the penalties of DeepHoyer."""
    network, rate = bench.network("LeNet300"), 0.1
    steps = bench.batches("LeNet300")[:5]
    pruned = copy.deepcopy(network)
    optimizer = torch.optim.SGD(pruned.parameters(), rate)
    pruner = secateur.Pruner(
        pruned,
        "MovementPruning",
        batches=steps,
        optimizer=optimizer,
        epochs=100,
        prune_delay=50,
        outer_layer_pruning=True,
    )
    for inputs, targets in steps:
        optimizer.zero_grad()
        functional.cross_entropy(pruned(inputs), targets).backward()
        optimizer.step()
    scores = weights.movement(bench.originals, network, steps, rate)

    def alone(found: ByLayer) -> Callable[[float], Found]:
        return lambda sparsity: Found(found, best(found, sparsity))

    yield bench.row(
        "MovementPruning, five steps of SGD",
        "block_movement_pruning",
        "LeNet300",
        "nothing but rounding; there scores are learnt with an optimizer of their own, and ranked in each layer: "
        "`--distribution uniform`",
        alone(scores),
        alone(pruner.criterion.scores([])),
    )
    for name, penalty in (("HoyerSquare", hoyer_square), ("GroupHoyerSquare", group_hoyer_square)):
        tensors = {name: layer.weight for name, layer in weighted(network).items()}
        value = sum(map(penalty, tensors.values()))
        gradients = dict(zip(tensors, torch.autograd.grad(value, list(tensors.values())), strict=True))
        found = weights.penalty(bench.originals, network, bench.batches("LeNet300")[0], name)
        yield bench.row(
            f"{name}, the gradient of its penalty",
            "SNIP-it",
            "LeNet300",
            SAME,
            lambda _, found=found: Found(found, {}),
            lambda _, own=gradients: Found(own, {}),
            (0.5,),
        )
