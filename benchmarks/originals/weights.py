"""What the authors' programs score and keep of the weights of a network."""

from __future__ import annotations

import copy
import types
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.nn import functional

from originals.program import (
    FORCE,
    GRASP,
    MOVEMENT,
    RIGL,
    SET,
    SNIP,
    SNIP_IT,
    SYNFLOW,
    Batch,
    ByLayer,
    Found,
    by_layer,
    ranked,
    weighted,
)


def snip(root: Path, network: nn.Module, batch: Batch, sparsity: float) -> Found:
    """SNIP in PyTorch. It draws the weights anew, which is left out here, and takes log-probabilities."""
    with SNIP.opened(root) as module, ranked() as seen, mock.patch("torch.nn.init.xavier_normal_"):
        program = nn.Sequential(copy.deepcopy(network), nn.LogSoftmax(1)).train()
        masks = module("snip").SNIP(program, 1 - sparsity, [batch], "cpu")
    kept = dict(zip(weighted(network), [mask.bool() for mask in masks], strict=True))
    return Found(by_layer(network, seen[0]), kept)


def snip_it(root: Path, network: nn.Module, batch: Batch, criterion: str, sparsity: float) -> Found:
    """A criterion of weights of SNIP-it's program, on any network: its class for networks is wrapped around it."""
    with SNIP_IT.opened(root) as module, ranked() as seen:
        base = module("models.Pruneable").Pruneable

        class Wrapped(base):
            def __init__(self, **options: Any) -> None:
                super().__init__(**options)
                self.network = copy.deepcopy(network)

            def forward(self, images: Tensor) -> Tensor:
                return self.network(images)

        program = Wrapped(device="cpu", output_dim=10, input_dim=batch[0].shape[1:])
        kind = getattr(module(f"models.criterions.{criterion}"), criterion)
        made = kind(model=program, device="cpu", limit=sparsity, steps=5)
        again = True
        while again:  # IMP makes one of its steps in a call, others all of them
            made.prune(percentage=sparsity, train_loader=[batch] * 5, manager=mock.MagicMock())
            again = bool(getattr(made, "steps", None))
    kept = {name.removeprefix("network.").removesuffix(".weight"): mask.bool() for name, mask in program.mask.items()}
    return Found(by_layer(network, seen[0]), kept)


def grasp(root: Path, network: nn.Module, loader: list[Batch], sparsity: float) -> tuple[Found, list[Batch]]:
    """GraSP, which removes the largest of -w * Hg; also returns the two halves of the images that it looked at."""
    with GRASP.opened(root) as module, ranked() as seen:
        program = module("pruner.GraSP")
        images, labels = program.GraSP_fetch_data(loader, 10, 10)
        masks = program.GraSP(copy.deepcopy(network).train(), sparsity, loader, "cpu", 10, 10, reinit=False)
    # It returns the masks by the module of the network that it was given, in order.
    kept = dict(zip(weighted(network), [mask.bool() for mask in masks.values()], strict=True))
    half = len(images) // 2
    halves = [(images[:half], labels[:half]), (images[half:], labels[half:])]
    return Found(by_layer(network, -seen[0]), kept), halves


def synaptic_flow(root: Path, network: nn.Module, batch: Batch, pruner: str, steps: int, sparsity: float) -> Found:
    """A pruner of Synaptic-Flow's program; the network's layers become its layers, which have masks."""
    program = copy.deepcopy(network)
    with SYNFLOW.opened(root, tqdm={"tqdm": iter}) as module:
        layers, generator = module("Layers.layers"), module("Utils.generator")
        for layer in program.modules():
            if type(layer).__name__ in ("Linear", "Conv2d", "BatchNorm2d"):
                layer.__class__ = getattr(layers, type(layer).__name__)
                layer.register_buffer("weight_mask", torch.ones_like(layer.weight))
                if layer.bias is not None:
                    layer.register_buffer("bias_mask", torch.ones_like(layer.bias))
        made = getattr(module("Pruners.pruners"), pruner)(generator.masked_parameters(program))
        loss = functional.cross_entropy
        program.eval()
        made.score(program, loss, [batch], "cpu")
        scores = {name: made.scores[id(layer.weight)].clone() for name, layer in weighted(program).items()}
        module("prune").prune_loop(program, loss, made, [batch], "cpu", 1 - sparsity, "exponential", "global", steps)
    return Found(scores, {name: layer.weight_mask.bool() for name, layer in weighted(program).items()})


def force(root: Path, network: nn.Module, batch: Batch, method: int, steps: int, sparsity: float) -> Found:
    """FORCE's program: its method 1 is iterated SNIP, 3 is FORCE; in training mode, as its networks are."""
    with FORCE.opened(root) as module, ranked() as seen:
        prune = module("pruning.pruning_algos").iterative_pruning
        masks = prune(copy.deepcopy(network).train(), [batch], "cpu", 1 - sparsity, method, steps)
    kept = dict(zip(weighted(network), [mask.bool() for mask in masks], strict=True))
    return Found(by_layer(network, seen[0]), kept)


def rigl(root: Path, network: nn.Module, batch: Batch, sparsity: float) -> tuple[Found, nn.Module, ByLayer]:
    """One update at a hundredth of T_end; also returns the network before it and the masks of before."""
    program = copy.deepcopy(network).train()
    with RIGL.opened(root) as module:
        optimizer = torch.optim.SGD(program.parameters(), 0.1)
        scheduler = module("rigl_torch.RigL").RigLScheduler(
            program, optimizer, 1 - sparsity, T_end=1000, delta=10, alpha=0.3, ignore_linear_layers=False
        )
        before = copy.deepcopy(program)
        masks = [None if mask is None else mask.clone() for mask in scheduler.backward_masks]
        scheduler.step = 9
        functional.cross_entropy(program(batch[0]), batch[1]).backward()
        scores = [None if hook is None else hook.dense_grad.abs() for hook in scheduler.backward_hook_objects]
        scheduler()
    names = list(weighted(network))
    sparse = [index for index, mask in enumerate(masks) if mask is not None]
    kept = {names[index]: scheduler.backward_masks[index].bool() for index in sparse}
    found = Found({names[index]: scores[index] for index in sparse}, kept)
    return found, before, {names[index]: masks[index] for index in sparse}


def evolution(root: Path, weights: ByLayer, zeta: float) -> ByLayer:
    """Which connections SET's program leaves of those that are there; its Cython part is only for training."""
    with SET.opened(root, sparseoperations={}) as module:
        kind = module("set_mlp_sparse_data_structures").SET_MLP
        program = kind.__new__(kind)
        program.zeta, program.n_layers = zeta, len(weights) + 1
        values = [weight.t().double().numpy() for weight in weights.values()]
        program.dimensions = [values[0].shape[0], *(value.shape[1] for value in values)]
        program.w = {index: csr_matrix(value) for index, value in enumerate(values, start=1)}
        program.pdw = {index: matrix.copy() for index, matrix in program.w.items()}
        program.weightsEvolution()
    after = [torch.from_numpy(matrix.toarray()).t() for matrix in program.w.values()]
    return {
        name: (weight != 0) & (weight.double() == there)
        for (name, weight), there in zip(weights.items(), after, strict=True)
    }


def movement(root: Path, network: nn.Module, batches: list[Batch], rate: float) -> ByLayer:
    """Scores of movement pruning after a step of SGD for each batch, in units of the rate; LeNet300 alone."""
    with MOVEMENT.opened(root) as module:
        kind = module("modules.masked_nn").MaskedLinear
    layers = []
    for layer in weighted(network).values():
        layers.append(kind(layer.in_features, layer.out_features))
        layers[-1].weight.data, layers[-1].bias.data = layer.weight.data.clone(), layer.bias.data.clone()
    whole = {"threshold": 1.0, "ampere_temperature": 0.0, "shuffling_temperature": 0.0}
    optimizer = torch.optim.SGD([parameter for layer in layers for parameter in layer.parameters()], rate)
    for inputs, targets in batches:
        values = inputs.flatten(1)
        for number, layer in enumerate(layers):
            values = layer(values if not number else values.relu(), whole)
        optimizer.zero_grad()
        functional.cross_entropy(values, targets).backward()
        optimizer.step()
    return {name: layer.mask_scores.detach() / rate for name, layer in zip(weighted(network), layers, strict=True)}


def penalty(root: Path, network: nn.Module, batch: Batch, name: str) -> ByLayer:
    """The gradient of DeepHoyer's penalty, as SNIP-it's program has taken it over."""
    program = copy.deepcopy(network)
    with SNIP_IT.opened(root) as module:
        loss = getattr(module(f"models.losses.{name}"), name)(device="cpu", hoyer_reg=1.0)
        weights = [layer.weight for layer in weighted(program).values()]
        outputs = torch.zeros(1, 10)  # of which the cross-entropy is log(10), whatever the weights
        state = types.SimpleNamespace(pruned=False)
        value = loss(output=outputs, target=batch[1][:1], weight_generator=weights, criterion=state).sum()
        gradients = torch.autograd.grad(value, weights)
    return dict(zip(weighted(network), gradients, strict=True))
