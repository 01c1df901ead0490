"""Attention that torch scales by the root of how wide its queries are, which are narrower once channels have gone.

What makes the queries is then scaled in turn, so that scores stay what they were: by the root of what is left of the
width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from secateur.utils.modes import evaluation_mode, trainable

#: By the name of a parameter: which indices (C,) of its first dimension make queries and nothing else, boolean.
Makers = dict[str, Tensor]
#: As autograd names them: what all that they read is multiplied by, they are multiplied by.
SUMS = {"AddBackward0", "CatBackward0", "StackBackward0", "SubBackward0"}


def scaled_queries(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The queries of a function that scales them by their width; None of any other."""
    if name != "scaled_dot_product_attention" or kwargs.get("scale") is not None:
        return None
    return args[0] if args else kwargs["query"]


class _Queries(TorchFunctionMode):
    """Keeps the queries of all attention of torch's that scales by their width."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        queries = scaled_queries(getattr(func, "__name__", ""), args, kwargs or {})
        if queries is not None:
            self.found.append(queries)
        return func(*args, **(kwargs or {}))


def makers_of_queries(network: nn.Module, example: Tensor) -> list[Makers]:
    """Say of each attention that scales by the width what would scale its queries; nothing where that is not known."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    image = example.detach().clone().requires_grad_(example.is_floating_point())
    with evaluation_mode(network), trainable(network.parameters()), torch.enable_grad(), _Queries() as attention:
        network(image.clone())  # which it may change in place
        return [_makers(queries, image, names) for queries in attention.found]


def _makers(queries: Tensor, image: Tensor, names: dict[int, str]) -> Makers:
    """The parameters next to queries on the ways to them from the image."""
    dependent = _dependent(queries.grad_fn, image)
    found: dict[int, Tensor] = {}
    waiting = [queries.grad_fn] if queries.grad_fn in dependent else []
    for node in waiting:
        if hasattr(node, "variable"):
            return {}  # the image itself
        sources = _sources(node)
        own = [variable for source in sources if source not in dependent for variable in _leaves(source)]
        found |= {id(variable): variable for variable in own}
        if not own or node.name() in SUMS:
            waiting += [source for source in sources if source in dependent and source not in waiting]
    if not found or found.keys() - names.keys():
        return {}
    parameters = list(found.values())
    # Random, so that no sum of them is zero.
    seeds = torch.rand(queries.shape, generator=torch.Generator().manual_seed(0)).to(queries) + 0.5
    gradients = torch.autograd.grad(queries, parameters, seeds, retain_graph=True)
    return {
        names[id(parameter)]: (gradient != 0).view(len(gradient), -1).any(1)
        for parameter, gradient in zip(parameters, gradients, strict=True)
        if gradient.dim()
    }


def _sources(node: Any) -> list[Any]:
    return [source for source, _ in node.next_functions if source is not None]


def _reached(node: Any) -> Iterator[Any]:
    """All nodes of autograd's graph that one depends on, itself first."""
    seen, waiting = {node}, [node]
    for one in waiting:
        yield one
        new = [source for source in dict.fromkeys(_sources(one)) if source not in seen]
        seen.update(new)
        waiting += new


def _leaves(node: Any) -> list[Tensor]:
    return [one.variable for one in _reached(node) if hasattr(one, "variable")]


def _dependent(node: Any, image: Tensor) -> set[Any]:
    """The nodes that a node depends on, and that depend on the image."""
    users: dict[Any, list[Any]] = {}
    waiting = []
    for one in _reached(node) if node is not None else ():
        for source in _sources(one):
            users.setdefault(source, []).append(one)
        if getattr(one, "variable", None) is image:
            waiting.append(one)
    found = set(waiting)
    for one in waiting:
        new = [user for user in users.get(one, ()) if user not in found]
        found.update(new)
        waiting += new
    return found


def factors(scaled: Iterable[tuple[int, int, Makers]]) -> dict[str, Tensor]:
    """What to multiply parameters by, (C,) along the first dimension, of queries that were and are so wide."""
    found: dict[str, Tensor] = {}
    for before, left, makers in scaled:
        for name, own in makers.items() if left < before else ():
            others = found.get(name, torch.ones(len(own), dtype=torch.double))
            found[name] = others.masked_fill(own, (left / before) ** 0.5)
    return found


def scaled(tensor: Tensor, scale: Tensor) -> Tensor:
    """A tensor times a scale (C,) along its first dimension."""
    return tensor * scale.view(-1, *[1] * (tensor.dim() - 1)).to(tensor)
