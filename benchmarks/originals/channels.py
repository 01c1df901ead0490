"""What the authors' programs score and keep of the channels of a network."""

from __future__ import annotations

import copy
import tempfile
import types
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from originals.program import GATES, MERGING, SNIP_IT, TAYLOR, Batch, ByLayer, Found, weighted

#: Filters of a network that was not trained are less alike than the 0.45 that the paper asks for.
MERGE_THRESHOLD = 0.02


def snip_it_network(root: Path, name: str, input_shape: torch.Size) -> nn.Module:
    """One of SNIP-it's own networks, whose layers can lose units."""
    with SNIP_IT.opened(root) as module:
        kind = getattr(module(f"models.networks.{name}"), name)
        return kind(
            device="cpu", output_dim=10, input_dim=input_shape, hidden_dim=(512,), outer_layer_pruning=False
        ).eval()


def snip_it_nodes(root: Path, network: nn.Module, batch: Batch, sparsity: float, criterion: str) -> Found:
    """A criterion of units of SNIP-it's program, on one of its networks; its norms are numbered, to know what stays."""
    program = copy.deepcopy(network)
    norms = {name: module for name, module in program.named_modules() if isinstance(module, _BatchNorm)}
    for norm in norms.values():
        norm.register_buffer("numbers", torch.arange(norm.num_features))
    sizes = {name: norm.num_features for name, norm in norms.items()}
    for parameter in program.parameters():  # of which it takes away parts too
        parameter.grad = torch.zeros_like(parameter)
    with SNIP_IT.opened(root) as module:
        kind = getattr(module(f"models.criterions.{criterion}"), criterion)
        made = kind(model=program, device="cpu", limit=sparsity, steps=5)
        if criterion.startswith("SNAP"):
            scores = {name: score for (_, name), score in made.get_weight_saliencies([batch] * 5)[1].items()}
        else:
            scores = {}
        made.prune(percentage=sparsity, train_loader=[batch] * 5, manager=mock.MagicMock())
    names = dict(zip(sizes, weighted(network), strict=False))  # the layer before each norm
    kept = {names[name]: torch.isin(torch.arange(size), norms[name].numbers) for name, size in sizes.items()}
    # A layer's outputs are the last of its two gates.
    return Found({name: scores[f"{name}.weight"] for name in kept} if scores else None, kept)


def merging(root: Path, network: nn.Module, ratio: float, criterion: str) -> Found:
    """Neuron merging on LeNet-300-100: the tensors afterwards as scores. It asks for a GPU, which is left out."""
    names = [f"ip{number}.{part}" for number in (1, 2, 3) for part in ("weight", "bias")]
    tensors = dict(zip(names, (value.clone() for value in network.state_dict().values()), strict=True))
    widths = [round(width * (1 - ratio)) for width in (300, 100)]
    with MERGING.opened(root) as module, mock.patch.object(Tensor, "cuda", lambda tensor: tensor):
        made = module("decompose").Decompose(
            "LeNet_300_100", tensors, criterion, MERGE_THRESHOLD, 0.8, "merge", widths, False
        )
        after = made.main()
    layers = list(weighted(network).items())[:2]
    after = dict(zip(network.state_dict(), after, strict=True))
    for (name, _), reader, index in zip(layers, list(weighted(network))[1:], (0, 2), strict=True):
        order = torch.as_tensor(made.output_channel_index[index]).argsort()  # those of L2-GM have none
        after[f"{name}.weight"], after[f"{name}.bias"] = after[f"{name}.weight"][order], after[f"{name}.bias"][order]
        after[f"{reader}.weight"] = after[f"{reader}.weight"][:, order]
    kept = {
        name: torch.isin(torch.arange(len(layer.weight)), torch.as_tensor(sorted(made.output_channel_index[index])))
        for (name, layer), index in zip(layers, (0, 2), strict=True)
    }
    return Found(after, kept)


def merging_network(root: Path, batches: list[Batch]) -> nn.Module:
    """Neuron merging's own VGG, of 11 layers, with norms that are not all alike and have seen data."""
    with MERGING.opened(root) as module:
        torch.manual_seed(1)
        network = module("models.VGG").VGG(10, depth=11)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    with torch.no_grad():
        for images, _ in batches:
            network.train()(images)
    return network.eval()


def merging_convolutions(root: Path, network: nn.Module, ratio: float, criterion: str) -> Found:
    """Neuron merging on its VGG, of the convolutions alone, through their norms; as `merging` has it."""
    layers = {name: layer for name, layer in weighted(network).items() if isinstance(layer, nn.Conv2d)}
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    places = [list(tensors).index(f"{name}.weight") for name in layers]
    widths = [round(layer.out_channels * (1 - ratio)) for layer in layers.values()]
    with MERGING.opened(root) as module, mock.patch.object(Tensor, "cuda", lambda tensor: tensor):
        options = (criterion, MERGE_THRESHOLD, 0.8, "merge", widths, False)
        made = module("decompose").Decompose("VGG", tensors, *options)
        after = dict(zip(tensors, made.main(), strict=True))
    kept = {
        name: torch.isin(torch.arange(layer.out_channels), torch.as_tensor(made.output_channel_index[place]))
        for (name, layer), place in zip(layers.items(), places, strict=True)
    }
    return Found({name: value for name, value in after.items() if value.is_floating_point()}, kept)


def gates(root: Path, network: nn.Module, batch: Batch) -> ByLayer:
    """|gradient * gate| of Gate Decorators, by the layer before the norm; of a network without branches."""
    program = copy.deepcopy(network)
    with GATES.opened(root) as module:
        made = module("prune.universal").GatedBatchNorm2d.transform(program)
        program.train()
        for gate in made:
            gate.start_collecting_scores()
        functional.cross_entropy(program(batch[0]), batch[1]).backward()
    return {name: gate.score.flatten() for name, gate in zip(weighted(network), made, strict=False)}


def taylor(root: Path, network: nn.Module, batch: Batch) -> ByLayer:
    """Taylor FO on gates behind the norms (method 22), as `gates` has them; `async` is a word of Python since."""
    program = copy.deepcopy(network).train()
    source = (root / TAYLOR.folder / "pruning_engine.py").read_text().replace("async=True", "non_blocking=True")
    engine = types.ModuleType("pruning_engine")
    with TAYLOR.opened(root) as module, tempfile.TemporaryDirectory() as folder:
        exec(compile(source, "pruning_engine.py", "exec"), vars(engine))
        layer, made = module("layers.gate_layer").GateLayer, {}
        for name, norm in [(name, part) for name, part in program.named_modules() if isinstance(part, _BatchNorm)]:
            made[name] = layer(norm.num_features, norm.num_features, [1, -1, 1, 1])
            program.set_submodule(name, nn.Sequential(norm, made[name]))
        parameters = [{"parameter": gate.weight} for gate in made.values()]
        pruning = engine.pytorch_pruning(parameters, {"method": 22}, folder)
        functional.cross_entropy(program(batch[0]), batch[1]).backward()
        pruning.add_criteria()
    return dict(zip(weighted(network), pruning.prune_network_accomulate["by_layer"], strict=False))
