"""Rewrites a traced network so that layers run by their lists, in blocks of images where its operations allow it.

Operations that treat each number alone work on blocks as they are. So do those over channels, rows and columns, since
these are at the same places in (B, C, H, W, 16) as in (N, C, H, W). Before anything else blocks become images again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from secateur.sparse.convolution import from_blocks, to_blocks
from secateur.sparse.folding import DenseLayer
from secateur.sparse.fusing import RELUS, SUMS, chain_from
from secateur.sparse.layer import LAYERS, SparseLayer
from secateur.sparse.operations import BlockPooling, Norm
from secateur.sparse.series import join

_IN_PLACE = {operator.iadd, operator.imul}
#: Operations on each number alone.
_ELEMENTWISE = RELUS | SUMS | {
    operator.mul, operator.imul, operator.sub, torch.mul, torch.sub, torch.sigmoid, torch.tanh, "mul", "mul_", "sub",
    "sigmoid", "tanh", "contiguous", "clone", nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU,
    nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Mish, nn.Identity, functional.relu6,
    functional.hardtanh, functional.leaky_relu, functional.elu, functional.selu, functional.gelu, functional.silu,
    functional.sigmoid, functional.tanh, functional.hardswish, functional.hardsigmoid, functional.softplus,
    functional.mish,
}  # fmt: skip
#: Poolings over rows and columns, each by what computes it of images; of blocks it sees 16 channels.
_POOLINGS = {
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, functional.max_pool2d, torch.max_pool2d,
    functional.avg_pool2d, functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d,
}  # fmt: skip


def flattened(blocks: Tensor) -> Tensor:
    """Blocks (B, C, H, W, 16) as features (B, C H W, 16)."""
    return blocks.reshape(len(blocks), -1, blocks.shape[-1])


class Rewriter:
    """Rewrites one graph; `images` of the example fix the shapes of what is reshaped, not the number of images.

    Parameters
    ----------
    traced: the network's graph; it is changed.
    layers: names of the layers to be executed by lists.
    blocks: whether images stand in blocks; else they stay as they are.
    training: whether parameters get gradients and norms take the statistics of batches; else norms are folded.
    mask: the mask of a layer, by its name, as it is when it is called.
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        example: Tensor,
        layers: Collection[str],
        blocks: bool = True,
        training: bool = False,
        mask: Callable[[str], Tensor | None] = lambda name: None,
        dense_gradients: bool = False,
    ) -> None:
        self.traced, self.graph, self.modules = traced, traced.graph, dict(traced.named_modules())
        self.layers, self.blocks, self.training, self.mask = set(layers), blocks, training, mask
        self.dense_gradients, self.images = dense_gradients, len(example)
        ShapeProp(traced).propagate(example)
        #: Nodes whose values stand in blocks, and what was made of nodes in the other form.
        self.in_blocks: set[fx.Node] = set()
        self._other: dict[fx.Node, fx.Node] = {}
        self._parts: dict[str, nn.Module] = {}

    def rewrite(self) -> nn.Module:
        """Return what computes the same."""
        first = next(node for node in self.graph.nodes if node.op == "placeholder")
        with self.graph.inserting_after(first):
            self.number = self.graph.call_function(len, (first,))
        self._fuse()
        for node in list(self.graph.nodes):
            self._place(node)
            self._forget_copies(node)
        if not self.blocks:
            join(self.graph, self._module, self._name)
        self.graph.eliminate_dead_code()
        self.graph.lint()
        root = nn.Module()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                _set_deep(root, node.target, self._parts.get(node.target) or self._found(node.target))
        return fx.GraphModule(root, self.graph)

    def _found(self, target: str) -> Any:
        found: Any = self.traced
        for part in target.split("."):
            found = getattr(found, part)
        return found

    def _kind(self, node: fx.Node) -> Any:
        """What a node does: a class of module, a function, or a method's name."""
        return (
            type(self.modules[node.target]) if node.op == "call_module" and node.target in self.modules else node.target
        )

    def _shape(self, node: Any) -> torch.Size | None:
        return getattr(node.meta.get("tensor_meta"), "shape", None) if isinstance(node, fx.Node) else None

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules.get(node.target) if node.op == "call_module" else None

    def _fuse(self) -> None:
        """Let layers, or norms while they train, compute what follows them and nothing else reads."""
        for node in list(self.graph.nodes):
            module, shape = self._module(node), self._shape(node) or ()
            dimensions = len(shape)
            # Blocks are of images, as many as the network takes.
            if type(module) in LAYERS and (dimensions not in (2, 4) or shape[0] != self.images):
                self.layers.discard(node.target)
            elif self.training and isinstance(module, _BatchNorm) and dimensions in (2, 4):
                chain = chain_from(node, self._module, self._shape, norms=False, sums=True)
                chain.replace(self.graph, self._name(Norm(module, chain.relu)))
            elif not self.training and type(module) in LAYERS:
                sparse = node.target in self.layers
                chain = chain_from(node, self._module, self._shape, norms=True, sums=sparse)
                if sparse:
                    part: nn.Module = SparseLayer(module, chain.norm, chain.relu, mask=partial(self.mask, node.target))
                else:
                    part = DenseLayer(module, chain.norm, chain.relu)
                if sparse or len(chain.nodes) > 1:
                    chain.replace(self.graph, self._name(part))

    def _name(self, part: nn.Module) -> str:
        name = f"secateur_part{len(self._parts)}"
        self._parts[name] = part
        self.modules[name] = part
        self.traced.add_module(name, part)
        return name

    def _blocked(self, value: Any, at: fx.Node) -> Any:
        """The value in blocks."""
        if not isinstance(value, fx.Node) or value in self.in_blocks or self._shape(value) is None:
            return value
        if value not in self._other:
            with self.graph.inserting_before(at):
                self._other[value] = self.graph.call_function(to_blocks, (value,))
        return self._other[value]

    def _plain(self, value: Any, at: fx.Node) -> Any:
        """The value as images."""
        if value not in self.in_blocks:
            return value
        if value not in self._other:
            with self.graph.inserting_before(at):
                self._other[value] = self.graph.call_function(from_blocks, (value, self.number))
        return self._other[value]

    def _replace(self, node: fx.Node, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        with self.graph.inserting_after(node):
            other = self.graph.call_function(function, arguments, keywords)
        self._put(other, node)

    def _put(self, other: fx.Node, node: fx.Node) -> None:
        """Put a node that gives blocks in the place of one."""
        other.meta = node.meta
        node.replace_all_uses_with(other)
        self.graph.erase_node(node)
        self.in_blocks.add(other)

    def _place(self, node: fx.Node) -> None:
        """Let a node take blocks where it can, images where it must."""
        kind, arguments = self._kind(node), node.all_input_nodes
        module = self.modules.get(node.target) if node.op == "call_module" else None
        if self.training and type(module) in LAYERS and node.target in self.layers:
            part = SparseLayer(module, trains=True, mask=partial(self.mask, node.target))
            part.dense_gradients = self.dense_gradients
            node.target, module = self._name(part), part
        if isinstance(module, SparseLayer):
            if self.blocks:
                node.args = tuple(self._blocked(value, node) for value in node.args)
                self.in_blocks.add(node)
        elif not any(value in self.in_blocks for value in arguments) or (
            kind is getattr and self._tells_of_blocks(node)
        ):
            return
        elif kind in _ELEMENTWISE and self._alike(node):
            node.args = fx.map_arg(node.args, lambda value: self._blocked(value, node))
            self.in_blocks.add(node)
        elif isinstance(module, (Norm, _BatchNorm)):
            if isinstance(module, _BatchNorm):
                node.target = self._name(Norm(module))
            node.args = tuple(self._blocked(value, node) for value in node.args)
            node.kwargs = {"number": self.number}
            self.in_blocks.add(node)
        elif kind in _POOLINGS and len(self._shape(node) or ()) == 4:
            pooling = node.target if module is None else module
            with self.graph.inserting_after(node):
                other = self.graph.call_module(self._name(BlockPooling(pooling)), node.args, node.kwargs)
            self._put(other, node)
        elif self._flattens(node, kind):
            self._replace(node, flattened, node.args[0])
        elif kind in (torch.cat, torch.concat) and _option(node, 1, "dim", 0) in (1, 1 - len(self._shape(node) or ())):
            parts = [self._blocked(value, node) for value in _option(node, 0, "tensors", ())]
            self._replace(node, torch.cat, parts, 1)
        elif kind is operator.getitem and _is_part(node.args[1]):
            self.in_blocks.add(node)
        elif kind is functional.pad and len(self._shape(node) or ()) == 4 and len(node.args[1]) <= 6:
            self._replace(node, functional.pad, node.args[0], (0, 0, *node.args[1]), *node.args[2:], **node.kwargs)
        elif kind in (torch.mean, "mean") and self._over_plane(node):
            self._replace(node, torch.mean, node.args[0], (2, 3), bool(_option(node, 2, "keepdim", False)))
        else:
            node.args = fx.map_arg(node.args, lambda value: self._plain(value, node))
            node.kwargs = fx.map_arg(node.kwargs, lambda value: self._plain(value, node))

    def _forget_copies(self, node: fx.Node) -> None:
        """What a node changes in place has to be converted anew by whoever reads it afterwards."""
        module = self.modules.get(node.target) if node.op == "call_module" else None
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        named = node.op in ("call_method", "call_function") and name.endswith("_")
        in_place = getattr(module, "inplace", False) or node.kwargs.get("inplace") or node.target in _IN_PLACE
        if named or in_place:
            for value in node.all_input_nodes:
                self._other.pop(value, None)

    def _alike(self, node: fx.Node) -> bool:
        """Whether all tensors that an operation joins are of as many dimensions, which then mean the same."""
        shapes = [None if value.op == "get_attr" else self._shape(value) for value in node.all_input_nodes]
        return all(shape and len(shape) == len(shapes[0]) and shape[0] == shapes[0][0] for shape in shapes)

    def _flattens(self, node: fx.Node, kind: Any) -> bool:
        """Whether a node makes features (N, F) of images."""
        shape = self._shape(node)
        if kind not in (nn.Flatten, torch.flatten, "flatten", "view", "reshape", torch.reshape) or not shape:
            return False
        before = self._shape(node.args[0])
        return len(shape) == 2 and len(before) in (2, 4) and shape[0] == before[0]

    def _tells_of_blocks(self, node: fx.Node) -> bool:
        """Let a node that asks blocks for their type or their sizes be answered as of images, where that can be."""
        dimensions = len(self._shape(node.args[0]) or ())
        if node.args[1] != "shape":
            return node.args[1] in ("dtype", "device")
        users = [user for user in node.users if user.target is operator.getitem and isinstance(user.args[1], int)]
        if dimensions != 4 or len(users) < len(node.users):
            return False
        for user in users:
            place = user.args[1] % dimensions
            user.args = (node, place)
            if place == 0:
                user.replace_all_uses_with(self.number)
        return True

    def _over_plane(self, node: fx.Node) -> bool:
        dimensions, shape = _option(node, 1, "dim", None), self._shape(node.args[0])
        if not isinstance(dimensions, (tuple, list)) or len(shape) != 4:
            return False
        return sorted(dimension % 4 for dimension in dimensions) == [2, 3]


def _option(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _is_part(index: Any) -> bool:
    """Whether an index takes parts of channels, rows and columns alone."""
    parts = index if isinstance(index, tuple) else (index,)
    return len(parts) <= 4 and parts[0] == slice(None) and all(isinstance(part, slice) for part in parts)


def _set_deep(root: nn.Module, path: str, value: Any) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        if not hasattr(root, folder):
            root.add_module(folder, nn.Module())
        root = getattr(root, folder)
    if isinstance(value, (nn.Module, nn.Parameter)):
        setattr(root, name, value)
    else:
        root.register_buffer(name, value)
