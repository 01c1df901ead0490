"""Where attention takes torch's own scale, what makes the queries is scaled once they are narrower."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.scales import makers_of_queries
from secateur.channels.surgery import Surgery, replay
from secateur.pruning.masks import Masks
from secateur.pruning.repair import Reference, repair
from secateur.training.rewinding import Snapshot
from tests.secateur.channels.networks import scattered, some_of_each, zeroed


class Attention(nn.Module):
    """Queries, keys and values (N, T, width) of one layer; `then` is done with the queries."""

    def __init__(self, width, heads, then=None, bias=True):
        super().__init__()
        self.heads, self.then = heads, then or nn.Identity()
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width)

    def forward(self, tokens):
        count, length, _ = tokens.shape
        together = self.qkv(tokens).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = together.unbind(0)
        gathered = functional.scaled_dot_product_attention(self.then(queries), keys, values)
        return self.proj(gathered.transpose(1, 2).flatten(2))


class ParametersOfItsOwn(nn.Module):
    """As BEiT has it: a bias of parameters for the queries, and a shift that is added to them."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(width))
        self.shift = nn.Parameter(torch.randn(heads, 1, width // heads))

    def forward(self, tokens):
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        together = functional.linear(tokens, self.qkv.weight, bias).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = together.permute(2, 0, 3, 1, 4)
        gathered = functional.scaled_dot_product_attention(queries + self.shift, keys, values)
        return gathered.transpose(1, 2).flatten(2)


def network_of(attention, width):
    return nn.Sequential(nn.Linear(5, width), attention, nn.Linear(width, 3))


def test_queries_of_half_the_width_are_made_smaller_by_the_root_of_two():
    attention = Attention(2, 1)
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(2).repeat(3, 1))
        attention.qkv.bias.copy_(torch.arange(6.0))
    network, tokens = nn.Sequential(attention, nn.Linear(2, 3)), torch.rand(1, 4, 2)
    (makers,) = makers_of_queries(network, tokens)
    queries = [True, True, False, False, False, False]
    assert {name: own.tolist() for name, own in makers.items()} == {"0.qkv.weight": queries, "0.qkv.bias": queries}
    surgery = Surgery(network, tokens)
    surgery.remove([("0.qkv", [0, 2, 4])])
    root = 0.5**0.5
    # The second of the queries, of the keys and of the values are left, and of the first ones the half root.
    assert torch.allclose(attention.qkv.weight, torch.tensor([[0, root], [0, 1], [0, 1]]))
    assert torch.allclose(attention.qkv.bias, torch.tensor([root, 3, 5]))


KINDS = {
    "one layer": lambda: Attention(12, 3),
    "without bias": lambda: Attention(12, 3, bias=False),
    "a norm of queries": lambda: Attention(12, 3, nn.LayerNorm(4)),
    "turned and made larger": lambda: Attention(12, 3, nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU())),
    "parameters": lambda: ParametersOfItsOwn(12, 3),
}


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_what_is_in_each_head_goes_and_scores_stay(name):
    torch.manual_seed(0)
    network = scattered(network_of(KINDS[name](), 12)).double()
    tokens = torch.rand(1, 6, 5, dtype=torch.double)
    surgery = Surgery(network, tokens)
    assert surgery.fixed == {}
    for fraction in (0.25, 0.5):
        removals = some_of_each(surgery, fraction, torch.Generator().manual_seed(1))
        assert any(len(surgery.groups[root].units) == 4 for root, _ in removals)
        smaller, expected = copy.deepcopy(network), zeroed(network, surgery, removals)(tokens)
        replay(smaller, tokens, [removals])
        assert float((smaller(tokens) - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


class Softened(nn.Module):
    def forward(self, queries):
        return 2 + queries.sigmoid()


def test_queries_that_cannot_be_scaled_are_not_made_narrower():
    torch.manual_seed(0)
    network, tokens = network_of(Attention(12, 3, Softened()), 12), torch.rand(1, 6, 5)
    surgery = Surgery(network, tokens)
    assert len(surgery.groups["1.qkv/1"].units) == 3
    assert "1.qkv/0" not in surgery.groups
    fixed_queries = network_of(Attention(12, 3, lambda queries: torch.ones_like(queries)), 12)
    assert makers_of_queries(fixed_queries, tokens) == [{}]
    assert "1.qkv/0" not in Surgery(fixed_queries, tokens).groups


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_rewinding_goes_to_what_the_earlier_network_is_without_the_channels(name):
    torch.manual_seed(0)
    network = scattered(network_of(KINDS[name](), 12)).double()
    early, snapshot, tokens = copy.deepcopy(network), Snapshot(network), torch.rand(1, 6, 5, dtype=torch.double)
    for step in range(2):
        for parameter in network.parameters():  # as training does
            parameter.mul_(1.5).add_(0.1)
        surgery = Surgery(network, tokens)
        removals = some_of_each(surgery, 0.4, torch.Generator().manual_seed(step))
        expected = zeroed(early, surgery, removals)(tokens)
        for smaller in (network, early):
            kept = surgery.remove(removals, smaller)
        assert kept.scales
        snapshot.keep_indices(kept, [])
        snapshot.restore(network, None)
        assert float((network(tokens) - expected).abs().max()) <= 1e-9 * float(expected.abs().max())


@torch.no_grad()
def test_repairs_know_that_queries_were_scaled():
    torch.manual_seed(0)
    network = scattered(network_of(Attention(12, 3), 12)).double()
    batches = [(torch.rand(8, 6, 5, dtype=torch.double), torch.zeros(8))]
    reference, surgery = Reference(network, batches, follows=True), Surgery(network, batches[0][0][:1])
    reference.keep_indices(network, surgery.remove([("1.qkv/0", [0, 12])]))
    outputs = network[1].qkv(network[0](batches[0][0])).flatten(0, 1)
    torch.testing.assert_close(reference.means["1.qkv"], outputs.mean(0), rtol=1e-9, atol=1e-9)
    before = copy.deepcopy(network[1].qkv.state_dict())
    repair(network, reference, ["least_squares", "bias"], Masks(network))
    for kind, tensor in network[1].qkv.state_dict().items():  # what it gives is what it gave
        torch.testing.assert_close(tensor, before[kind], rtol=1e-6, atol=1e-6)
