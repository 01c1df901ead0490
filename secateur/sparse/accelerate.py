"""A network executed without its zeros."""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, fx, nn

from secateur.channels.compaction import compact
from secateur.parallel.collectives import size
from secateur.pruning.masks import Masks, held_masks, zeros_of
from secateur.sparse.around import Around
from secateur.sparse.choice import (
    Choice,
    Notes,
    by_density,
    faster_layers,
    fastest,
    fastest_to_train,
)
from secateur.sparse.folding import DenseLayer
from secateur.sparse.graph import Rewriter
from secateur.sparse.layer import SparseLayer
from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode

#: Up to so many images are computed one by one, and not in blocks of 16.
FEW = 7
#: What is traced agrees with the network to this fraction of its largest output, or it is not used.
AGREEMENT = 1e-3
EXECUTIONS = ("dense", "sparse", "auto")


def accelerate(
    network: nn.Module,
    example: Tensor,
    *,
    execution: str = "auto",
    training: bool = False,
    masks: Masks | None = None,
    dense_gradients: bool = False,
) -> Accelerated:
    """Return the same function, executed without its zeros: the same outputs to about 1e-6 of the largest.

    What is returned shares parameters and buffers with `network` and follows them, masks that change included.
    It runs on CPUs in float32; anything else is handed to `network`.

    Parameters
    ----------
    network: any module that takes images (N, C, H, W).
    example: images (N, C, H, W), as many as a batch will have: what is fastest is found out with so many.
    execution: `auto` measures for each layer what is fastest, and is never slower than the network; `sparse` runs by
        lists each layer with at most 35 % of its weights; `dense` none.
    training: whether parameters get gradients, those of weights that are there; else only inputs get any.
    masks: which weights are kept while it trains, by default those that hold on the network; without any, the weights
        that are zero when the network is first called get no gradient.
    dense_gradients: whether weights that are not kept get a gradient too, for criteria that look at it.
    """
    if execution not in EXECUTIONS:
        raise UserError(f"execution: '{execution}' is not one of {', '.join(EXECUTIONS)}")
    if masks is None and training:
        masks = held_masks(network)
    found = Accelerated(network, execution, training, masks, dense_gradients)
    with torch.no_grad(), evaluation_mode(found):
        found(example)
    return found


def look_over(network: nn.Module) -> tuple[list[Tensor], bool]:
    """A network's parameters and buffers, in any order, and whether it has hooks: at each call, so without detours."""
    modules, tensors, hooked = [network], [], False
    for module in modules:
        before, after = module._forward_pre_hooks or module._backward_pre_hooks, module._forward_hooks
        hooked = hooked or bool(before or after or module._backward_hooks)
        if module._modules:
            modules += [child for child in module._modules.values() if child is not None]
        for held in (module._parameters, module._buffers):
            if held:
                tensors += [tensor for tensor in held.values() if tensor is not None]
    return tensors, hooked


class Accelerated(nn.Module):
    """A network and the ways in which it is run; see `accelerate`.

    A network with forward hooks is run as it is: they would see images in another layout, or none. So is one that
    trains under masks that are not held, all of whose weights train.
    """

    def __init__(
        self,
        network: nn.Module,
        execution: str,
        training: bool = False,
        masks: Masks | None = None,
        dense_gradients: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.execution, self.trains, self.masks, self.dense_gradients = execution, training, masks, dense_gradients
        #: How the network is run, by whether it trains, whether images are few, and their shape.
        self.choices: dict[tuple[Any, ...], Choice] = {}
        #: All choices that were made or found on disk, also of masks of before; see `Notes`.
        self.notes: dict[str, dict[str, Any]] = {}
        self._ways: dict[tuple[Any, ...], nn.Module] = {}
        self._made_for: tuple[Any, ...] = (None, None, None)
        self._listed: list[str] = []
        #: Whether the network has been called in training since it was evaluated.
        self._trained = False
        self.training = network.training

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to what the network makes of them."""
        tensors, hooked = look_over(self.network)
        if self.network.training:
            self._trained = True
        elif self._trained:
            self._forget()
        if hooked or not self._applies(images):
            return self.network(images)
        self._look_at_network(tensors)
        trains = self.network.training or (self.trains and torch.is_grad_enabled())
        few = len(images) <= FEW and not torch.is_grad_enabled()
        key = (self.network.training, trains, few, tuple(images.shape[1:]))
        if key not in self._ways:
            with torch.random.fork_rng(devices=[]):  # what is tried takes no random numbers from what trains
                self.choices[key], self._ways[key] = self._choose(images.detach(), trains)
        return self._ways[key](images)

    def _applies(self, images: Tensor) -> bool:
        if self.execution == "dense" or images.device.type != "cpu" or images.dtype != torch.float32:
            return False
        if torch.is_autocast_enabled("cpu") or (self.network.training and not self.trains) or size() > 1:
            return False
        # Where masks are not held every weight trains, those that were pruned too.
        return not (self.trains and self.masks is not None and not self.masks.hold)

    def _forget(self) -> None:
        """Let the ways of evaluation take weights anew: fused optimizers change them without torch's counting it."""
        for part in (part for way in self._ways.values() for part in way.modules()):
            if isinstance(part, SparseLayer | DenseLayer):
                part.forget()
        self._trained = False

    def described(self) -> list[dict[str, Any]]:
        """Return what was chosen, for results.json."""
        found = []
        for (_, trains, few, shape), choice in self.choices.items():
            found.append({"training": trains, "few_images": few, "shape": list(shape), **asdict(choice)})
        return found

    def state_dict(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Return the network's own."""
        return self.network.state_dict(*arguments, **keywords)

    def load_state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        """Load the network's own."""
        return self.network.load_state_dict(*arguments, **keywords)

    def _kept(self) -> dict[str, Tensor] | None:
        return None if self.masks is None or not self.masks.hold else self.masks.kept

    def _mask(self, name: str) -> Tensor | None:
        return (self._kept() or {}).get(name)

    def _look_at_network(self, tensors: list[Tensor]) -> None:
        """Choose again where layers have become smaller or sparse, or what a compacted copy was made of has changed.

        Of masks that change otherwise, and of weights, the layers take notice by themselves.
        """
        kept, shapes = self._kept(), [tensor.shape for tensor in tensors]
        versions = None if self.trains else [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        was_kept, was_shapes, was_versions = self._made_for
        changed = shapes != was_shapes
        if changed or kept is not was_kept:
            listed = by_density(self.network, kept)
            changed, self._listed = changed or listed != self._listed, listed
        if versions != was_versions and any(choice.compacted for choice in self.choices.values()):
            changed = True
        if changed:
            self.choices, self._ways = {}, {}
        self._made_for = kept, shapes, versions

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a copy has to make for itself: it holds addresses of this one's lists."""
        return {**super().__getstate__(), "_ways": {}, "choices": {}, "_made_for": (None, None, None)}

    def _choose(self, images: Tensor, trains: bool) -> tuple[Choice, nn.Module]:
        network, kept = self.network, self._kept()
        if self.execution == "sparse":
            layers = by_density(network, kept)
            return Choice(layers, images=len(images)), self._way(network, images, layers, trains)
        notes = Notes(network, images, kept, (self.network.training, trains, self.trains), self.notes)
        noted = notes.read()
        if noted is not None:
            base = self._compacted(images) if noted.compacted else network
            return noted, self._way(base, images, noted.layers, trains)
        choice, way = self._try_training(images) if trains else self._try(images)
        notes.write(choice)
        return choice, way

    def _try_training(self, images: Tensor) -> tuple[Choice, nn.Module]:
        layers = by_density(self.network, self._kept())
        if not layers:
            return Choice(images=len(images)), self.network
        trial = copy.deepcopy(self.network).train(self.network.training)
        best, milliseconds = fastest_to_train(trial, self._way(trial, images, layers, True), images)
        chosen = layers if best == "sparse" else []
        return Choice(chosen, False, milliseconds, len(images)), self._way(self.network, images, chosen, True)

    def _try(self, images: Tensor) -> tuple[Choice, nn.Module]:
        bases = {"": self.network}
        if not self.trains and (smaller := self._compacted(images)) is not self.network:
            bases["compacted"] = smaller
        ways: dict[str, nn.Module] = {}
        choices = {}
        for name, base in bases.items():
            label = name or "dense"
            ways[label], choices[label] = base, Choice([], bool(name))
            layers = faster_layers(base, images, len(images) > FEW)
            if len(images) <= FEW:  # what a call of its own costs decides nothing for a layer of a series
                listed = {*layers, *by_density(base)}
                layers = [name for name, _ in base.named_modules() if name in listed]
            if layers:
                label = f"{name}, sparse".lstrip(", ")
                ways[label], choices[label] = self._way(base, images, layers, False), Choice(layers, bool(name))
        best, milliseconds = fastest(ways, images)
        choice = choices[best]
        choice.milliseconds, choice.images = milliseconds, len(images)
        return choice, ways[best]

    def _compacted(self, images: Tensor) -> nn.Module:
        """The network without its idle channels; the network itself where it has none."""
        try:
            found = compact(self.network, images[:1], zeros_of(self.network))
        except ValueError as error:
            logging.getLogger(__name__).debug("not compacted: %s", error)
            return self.network
        return self.network if found is None else found.network.eval()

    def _way(self, base: nn.Module, images: Tensor, layers: list[str], trains: bool) -> nn.Module:
        """What runs these layers of `base` by their lists."""
        if not layers:
            return base

        def mask(name: str) -> Tensor | None:
            return self._mask(name) if base is self.network else None

        try:
            traced = fx.symbolic_trace(base)
        except Exception as error:  # whatever the network does that cannot be traced
            logging.getLogger(__name__).debug("not traced, layouts change around layers: %s", error)
            return Around(base, layers, trains, mask, self.dense_gradients)
        few = len(images) <= FEW and not torch.is_grad_enabled()
        with torch.no_grad(), evaluation_mode(base):
            way = Rewriter(traced, images, layers, not few, trains, mask, self.dense_gradients).rewrite()
            # A single image does not show what is one of each image, and what is one of all.
            tried = images if len(images) > 1 else torch.cat([images, images.flip(-1)])
            expected, found = base(tried), way(tried)
        # Tracing does not see what is changed in place under another name.
        if not (found - expected).abs().max() <= AGREEMENT * expected.abs().max():
            return Around(base, layers, trains, mask, self.dense_gradients)
        return way
