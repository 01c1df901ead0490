"""Which operations follow another so that one kernel computes them together: batch norm, an addition, ReLU."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

RELUS = {nn.ReLU, functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_"}
SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
#: Those that change their first argument.
SUMS_IN_PLACE = {operator.iadd, "add_"}


@dataclass
class Chain:
    """A node and what follows it, each read by the next alone."""

    nodes: list[fx.Node]
    norm: nn.Module | None = None
    #: What is added after the norm.
    added: fx.Node | None = None
    relu: bool = False

    def replace(self, graph: fx.Graph, name: str) -> fx.Node:
        """Put a call of the module of this name, on what the first node reads and what is added, in their place."""
        first, last = self.nodes[0], self.nodes[-1]
        with graph.inserting_after(last):
            fused = graph.call_module(name, (first.args[0], *([] if self.added is None else [self.added])))
        fused.meta = last.meta
        last.replace_all_uses_with(fused)
        for node in reversed(self.nodes):
            graph.erase_node(node)
        return fused


def chain_from(
    node: fx.Node,
    module_of: Callable[[fx.Node], nn.Module | None],
    shape_of: Callable[[Any], torch.Size | None],
    norms: bool,
    sums: bool,
) -> Chain:
    """Follow a node by a batch norm if `norms`, by an addition if `sums`, and by ReLU, as far as there is each."""
    chain = Chain([node])
    while len(chain.nodes[-1].users) == 1 and not chain.relu:
        last = chain.nodes[-1]
        user = next(iter(last.users))
        module = module_of(user)
        kind = user.target if module is None else type(module)
        if norms and chain.norm is None and chain.added is None and isinstance(module, _BatchNorm):
            if not module.track_running_stats:
                break
            chain.norm = module
        elif sums and chain.added is None and kind in SUMS and len(user.args) == 2 and not user.kwargs:
            other = user.args[0] if user.args[1] is last else user.args[1]
            if other is last or shape_of(other) is None or shape_of(other) != shape_of(last):
                break
            if user.args[0] is other and kind in SUMS_IN_PLACE:
                break  # it changes the other, which others may read
            chain.added = other
        elif kind in RELUS:
            chain.relu = True
        else:
            break
        chain.nodes.append(user)
    return chain
