"""What follows a layer is computed with it as far as that is the same."""

import operator

import pytest
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from secateur.sparse.fusing import chain_from


class Followed(nn.Module):
    """A layer, and what follows it."""

    def __init__(self, what):
        super().__init__()
        self.what = what
        self.layer, self.norm, self.again = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)
        self.of_batch, self.relu = nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU()

    def forward(self, images, other):
        return self.what(self, self.layer(images), other)


def chain_of(what, norms=True, sums=True, in_place=False):
    """The traced network, and the chain that begins with its layer; sums may change what they add to."""
    traced = fx.symbolic_trace(Followed(what).eval())
    for node in traced.graph.nodes:  # torch traces `+=` as `+`
        node.target = operator.iadd if in_place and node.target is operator.add else node.target
    traced.add_module("fused", nn.Identity())
    ShapeProp(traced).propagate(torch.ones(3, 1, 2, 2), torch.ones(3, 2, 2, 2))
    modules = dict(traced.named_modules())
    (layer,) = (node for node in traced.graph.nodes if node.target == "layer")

    def module_of(node):
        return modules.get(node.target) if node.op == "call_module" else None

    def shape_of(value):
        return value.meta["tensor_meta"].shape if isinstance(value, fx.Node) else None

    return traced, chain_from(layer, module_of, shape_of, norms, sums)


@pytest.mark.parametrize(
    ("what", "nodes", "norm", "adds", "relu"),
    [
        (lambda n, f, o: n.relu(n.norm(f) + o), 4, True, True, True),
        (lambda n, f, o: o + f, 2, False, True, False),
        (lambda n, f, o: functional.relu(torch.add(o, f)), 3, False, True, True),
        (lambda n, f, o: f.add(o), 2, False, True, False),
        (lambda n, f, o: n.norm(f).relu_(), 3, True, False, True),
        (lambda n, f, o: n.norm(f + o), 2, False, True, False),
        (lambda n, f, o: n.again(n.norm(f)), 2, True, False, False),
        (lambda n, f, o: n.of_batch(f), 1, False, False, False),
        (lambda n, f, o: torch.relu(torch.relu(f)), 2, False, False, True),
        (lambda n, f, o: n.norm(torch.relu(f)), 2, False, False, True),
        (lambda n, f, o: torch.relu(f) + o, 2, False, False, True),
        (lambda n, f, o: f + o + o, 2, False, True, False),
        (lambda n, f, o: f + f, 1, False, False, False),
        (lambda n, f, o: f + 1.0, 1, False, False, False),
        (lambda n, f, o: f + o[:, :1], 1, False, False, False),
        (lambda n, f, o: torch.add(f, o, alpha=2), 1, False, False, False),
        (lambda n, f, o: torch.add(f, other=o), 1, False, False, False),
        (lambda n, f, o: f - o, 1, False, False, False),
        (lambda n, f, o: torch.relu(f) * f, 1, False, False, False),
        (lambda n, f, o: f.add_(o), 2, False, True, False),
        (lambda n, f, o: o.add_(f), 1, False, False, False),
        (lambda n, f, o: torch.relu(torch.sigmoid(f)), 1, False, False, False),
    ],
)
def test_a_norm_an_addition_and_relu_follow_in_this_order(what, nodes, norm, adds, relu):
    traced, chain = chain_of(what)
    assert len(chain.nodes) == nodes
    assert chain.norm is (traced.norm if norm else None)
    assert getattr(chain.added, "name", None) == ("other" if adds else None)
    assert chain.relu is relu


def test_norms_and_additions_follow_where_they_may():
    def what(network, features, other):
        return torch.relu(network.norm(features) + other)

    assert [len(chain_of(what, norms, sums)[1].nodes) for norms, sums in [(True, True), (True, False)]] == [4, 2]
    assert len(chain_of(what, norms=False)[1].nodes) == 1
    assert len(chain_of(lambda n, f, o: f + o, sums=False)[1].nodes) == 1
    assert len(chain_of(lambda n, f, o: torch.relu(f), norms=False, sums=False)[1].nodes) == 2


def test_what_others_may_read_is_not_added_to():
    assert len(chain_of(lambda n, f, o: f + o, in_place=True)[1].nodes) == 2
    assert len(chain_of(lambda n, f, o: o + f, in_place=True)[1].nodes) == 1


@pytest.mark.parametrize("adds", [True, False])
def test_one_call_takes_the_place_of_a_chain(adds):
    def what(network, features, other):
        features = network.norm(features)
        return torch.relu(features + other if adds else features).mean((2, 3))

    traced, chain = chain_of(what)
    shape = chain.nodes[-1].meta["tensor_meta"].shape
    fused = chain.replace(traced.graph, "fused")
    assert [node.target for node in traced.graph.nodes] == ["images", "other", "fused", "mean", "output"]
    assert (fused.op, [node.name for node in fused.args]) == (
        "call_module",
        ["images", "other"] if adds else ["images"],
    )
    assert [node.target for node in fused.users] == ["mean"]
    assert fused.meta["tensor_meta"].shape == shape == (3, 2, 2, 2)
