"""What makes queries, as autograd's graph tells, and by what it is multiplied."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from secateur.channels.scales import factors, makers_of_queries, scaled, scaled_queries

ATTENTION = "scaled_dot_product_attention"


def test_only_attention_that_scales_by_the_width_has_queries():
    queries, others = torch.ones(1), torch.zeros(1)
    assert scaled_queries(ATTENTION, (queries, others, others), {}) is queries
    assert scaled_queries(ATTENTION, (), {"query": queries, "key": others}) is queries
    assert scaled_queries(ATTENTION, (queries, others), {"scale": None}) is queries
    assert scaled_queries(ATTENTION, (queries, others), {"scale": 0.5}) is None
    assert scaled_queries("softmax", (queries, others), {}) is None


class Queries(nn.Module):
    """Queries (1, 2, 2) of tokens, keys and values that are the tokens."""

    def __init__(self, make, **parameters):
        super().__init__()
        self.make = make
        for name, parameter in parameters.items():
            self.register_parameter(name, nn.Parameter(parameter))

    def forward(self, tokens):
        return functional.scaled_dot_product_attention(query=self.make(self, tokens), key=tokens, value=tokens)


#: What makes queries, of which parameters, and which of their first indices do so.
MAKERS = {
    "a weight": (lambda own, x: x @ own.a, {"a": torch.ones(2, 2)}, {"a": [True, True]}),
    "a part": (lambda own, x: (x @ own.a)[..., :2], {"a": torch.ones(2, 3)}, {"a": [True, True]}),
    "rows": (
        lambda own, x: functional.linear(x, own.a)[..., 1:], {"a": torch.ones(3, 2)}, {"a": [False, True, True]}
    ),
    "a sum": (
        lambda own, x: (x @ own.a + own.b) + x * own.c, {"a": torch.ones(2, 2), "b": torch.ones(2), "c": torch.ones(1)},
        {"a": [True, True], "b": [True, True], "c": [True]},
    ),
    "a difference": (
        lambda own, x: x * own.a - x * own.b, {"a": torch.ones(2), "b": torch.ones(1)}, {"a": [True] * 2, "b": [True]}
    ),
    "stacked": (
        lambda own, x: torch.stack([x[..., 0] * own.a, x[..., 1] * own.b], -1),
        {"a": torch.ones(1), "b": torch.ones(2)}, {"a": [True], "b": [True, True]},
    ),
    "joined": (
        lambda own, x: torch.cat([x[..., :1] * own.a, x[..., 1:] * own.b], -1),
        {"a": torch.ones(1), "b": torch.ones(2, 1)}, {"a": [True], "b": [True, True]},
    ),
    "the last of two": (
        lambda own, x: (x @ own.a) @ own.b, {"a": torch.ones(2, 3), "b": torch.ones(3, 2)}, {"b": [True] * 3}
    ),
    "moved about": (
        lambda own, x: (x @ own.a).transpose(0, 1).reshape(1, 2, 2).clone(), {"a": torch.ones(2, 2)}, {"a": [True] * 2}
    ),
    "made of another": (
        lambda own, x: x @ (own.a.exp() * 2), {"a": torch.ones(2, 2), "b": torch.ones(1)}, {"a": [True, True]}
    ),
    "one number": (lambda own, x: x * own.a * own.b, {"a": torch.ones(2), "b": torch.tensor(3.0)}, {}),
    "a row": (lambda own, x: x * own.a[0], {"a": torch.ones(3, 1)}, {"a": [True, False, False]}),
    "a column": (lambda own, x: x * own.a[:, 0], {"a": torch.ones(2, 3)}, {"a": [True, True]}),
    "the tokens": (lambda own, x: x, {"a": torch.ones(2)}, {}),
    "the tokens in a sum": (lambda own, x: x + x * own.a, {"a": torch.ones(2)}, {}),
    "nothing of the tokens": (lambda own, x: own.a * 2, {"a": torch.ones(1, 2, 2)}, {}),
    "what is no parameter": (lambda own, x: x * torch.ones(2).requires_grad_(), {"a": torch.ones(2)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_what_makes_queries_is_next_to_them_on_the_way_from_the_image(name):
    make, parameters, makers = MAKERS[name]
    network, tokens = Queries(make, **parameters), torch.rand(1, 2, 2) + 0.5
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    (found,) = makers_of_queries(network, tokens)
    assert {key: own.tolist() for key, own in found.items()} == makers
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not tokens.requires_grad


def test_each_attention_has_makers_of_its_own_and_the_image_is_left_alone():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, tokens):
            hidden = functional.scaled_dot_product_attention(self.one(tokens.mul_(2)), tokens, tokens)
            return functional.scaled_dot_product_attention(self.other(hidden), hidden, hidden, scale=None)

    tokens = torch.ones(1, 3, 2)
    found = makers_of_queries(Two(), tokens)
    assert [list(makers) for makers in found] == [["one.weight"], ["other.weight"]]
    assert tokens.eq(1).all()
    assert makers_of_queries(nn.Linear(2, 2), tokens) == []


def test_queries_that_are_used_twice_have_the_same_makers_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2, bias=False)

        def forward(self, tokens):
            queries = self.layer(tokens)
            return sum(functional.scaled_dot_product_attention(queries, tokens, tokens) for _ in range(2))

    network, tokens, random = Twice(), torch.rand(1, 3, 2), torch.get_rng_state()
    found = [{name: own.tolist() for name, own in makers.items()} for makers in makers_of_queries(network, tokens)]
    assert found == [{"layer.weight": [True, True]}] * 2
    assert torch.get_rng_state().equal(random)


def test_makers_are_multiplied_by_the_root_of_what_is_left_of_the_width():
    first, last = torch.tensor([True, False, False]), torch.tensor([False, False, True])
    found = factors([(4, 1, {"a": first, "b": last}), (9, 9, {"c": first}), (25, 4, {"a": last}), (16, 9, {"b": last})])
    assert {name: scale.tolist() for name, scale in found.items()} == {"a": [0.5, 1, 0.4], "b": [1, 1, 0.75]}
    assert found["a"].dtype == torch.float64
    assert factors([]) == {}


def test_a_tensor_is_scaled_along_its_first_dimension():
    scale = torch.tensor([2.0, 0.5], dtype=torch.float64)
    found = scaled(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), scale)
    assert (found.tolist(), found.dtype) == ([[[2.0, 4.0]], [[1.5, 2.0]]], torch.float32)
    assert scaled(torch.tensor([1.0, 3.0]), scale).tolist() == [2.0, 1.5]
