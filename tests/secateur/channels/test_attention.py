"""Transformers lose heads, parts of all heads, channels of perceptrons and of what all blocks add to."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import secateur
from secateur.channels.attention import OpenAttention, open_attention
from secateur.channels.surgery import Surgery, replay
from secateur.models.ViT_tiny import Attention, Encoder
from secateur.utils.torchvision_import import torchvision
from tests.secateur.channels.networks import outputs, scattered, some_of_each, zeroed


def test_a_head_goes_with_its_queries_keys_values_and_what_reads_them():
    # Two heads of two; queries and keys are zero, so that each token gets the mean of the values of all.
    attention = Attention(4, 2)
    with torch.no_grad():
        attention.queries_keys_values.weight.copy_(
            torch.cat([torch.zeros(8, 4), torch.diag(torch.tensor([1.0, 2, 3, 4]))])
        )
        attention.queries_keys_values.bias.copy_(torch.arange(12.0) * (torch.arange(12) >= 8))
        attention.output.weight.copy_(torch.arange(16.0).view(4, 4))
        attention.output.bias.zero_()
    network = nn.Sequential(attention, nn.Linear(4, 4))
    tokens = torch.tensor([[[1.0, 0, 0, 2], [3.0, 4, 2, 0]]])
    # values: the means (2, 2, 1, 1) times (1, 2, 3, 4) plus (8, 9, 10, 11)
    expected = torch.tensor([10.0, 13, 13, 15])
    assert attention(tokens)[0].equal((attention.output.weight @ expected).expand(2, 4))
    surgery = Surgery(network, tokens)
    heads, inside = surgery.groups["0.queries_keys_values/1"], surgery.groups["0.queries_keys_values/0"]
    assert heads.units.tolist() == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]
    assert inside.units.tolist() == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    changed = surgery.remove([(heads.root, heads.units[0].tolist())])
    assert attention.heads == 1
    assert attention.output.weight.tolist() == [[2, 3], [6, 7], [10, 11], [14, 15]]
    assert changed["0.queries_keys_values.bias"].tolist() == [2, 3, 6, 7, 10, 11]
    # 13 and 15 are left of the values
    assert attention(tokens)[0].tolist() == [[71.0, 183, 295, 407]] * 2


def test_queries_that_are_narrower_are_scaled_as_before():
    # One head of two: of queries (a, b) and keys likewise the second numbers go, and scores stay a * a / sqrt(2).
    attention = Attention(2, 1)
    with torch.no_grad():
        attention.queries_keys_values.weight.copy_(torch.eye(2).repeat(3, 1))
        attention.queries_keys_values.bias.zero_()
        attention.output.weight.copy_(torch.eye(2))
        attention.output.bias.zero_()
    tokens = torch.tensor([[[1.0, 0.5], [2.0, 0.25]]])
    network = nn.Sequential(attention, nn.Linear(2, 3))
    surgery = Surgery(network, tokens)
    surgery.remove([("0.queries_keys_values", [1, 3, 5])])
    second = torch.sigmoid(torch.tensor([1.0, 2]) / 2**0.5)  # exp(2 a / sqrt 2) of exp(a / sqrt 2) + exp(2 a / sqrt 2)
    assert torch.allclose(attention(tokens)[0], torch.stack([1 + second, torch.zeros(2)], 1))


def test_a_norm_takes_its_statistics_over_what_is_left():
    network = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3, eps=0), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(3))
        network[0].bias.zero_()
        network[2].weight.copy_(torch.tensor([[1.0, 5, 0], [0, 5, 1]]))
    surgery = Surgery(network, torch.rand(1, 3))
    zeros = zeroed(network, surgery, [("0", [1])])
    surgery.remove([("0", [1])])
    assert network[1].normalized_shape == (2,)
    for each in (network, zeros):  # (3, 9) less their mean 6, by the deviation 3
        assert torch.allclose(each(torch.tensor([[3.0, 100, 9]])), torch.tensor([[-1.0, 1]]))


class Fused(nn.Module):
    """Queries, keys and values of one layer, and three attributes that hold their sizes, as timm has them."""

    def __init__(self, width, heads):
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = heads, width // heads, width
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens):
        count, length, _ = tokens.shape
        together = self.qkv(tokens).reshape(count, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        queries, keys, values = together.unbind(0)
        attention = (queries * 0.5 @ keys.transpose(-2, -1)).softmax(-1)
        return self.proj((attention @ values).transpose(1, 2).reshape(count, length, self.attn_dim))


class Apart(nn.Module):
    """Queries and keys of one width, values of another, each of a layer."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(2 * width, width)

    def forward(self, tokens):
        heads = [
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]
        return self.output(functional.scaled_dot_product_attention(*heads, scale=0.5).transpose(1, 2).flatten(2))


class Chunked(nn.Module):
    """Queries, keys and values of one layer, cut in three, with as many inside as the tokens have."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens):
        count, length, width = tokens.shape
        heads = [part.view(count, length, self.heads, width // self.heads) for part in self.qkv(tokens).chunk(3, -1)]
        queries, keys, values = (part.transpose(1, 2) for part in heads)
        scores = torch.einsum("bhld,bhsd->bhls", queries * self.scale, keys).softmax(-1)
        return self.proj(torch.einsum("bhls,bhsd->bhld", scores, values).transpose(1, 2).reshape(count, length, width))


class Self(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens):
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class Block(Encoder):
    def __init__(self, kind, width=12, heads=3):
        super().__init__(width, heads)
        self.attention = kind(width, heads)


class Vision(nn.Module):
    """Two blocks between patches and classes."""

    def __init__(self, kind):
        super().__init__()
        self.patches, self.positions = nn.Conv2d(3, 12, 2, 2), nn.Parameter(torch.randn(1, 4, 12))
        self.blocks = nn.Sequential(Block(kind), Block(kind))
        self.norm, self.classifier = nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return self.classifier(self.norm(self.blocks(tokens)).mean(1))


def vit():
    return torchvision.models.VisionTransformer(4, 2, 2, 3, 12, 16, num_classes=3)


def swin():
    return torchvision.models.SwinTransformer([2, 2], 8, [2, 2], [2, 4], [3, 3], num_classes=3)


def convnext():
    block = torchvision.models.convnext.CNBlockConfig
    return torchvision.models.ConvNeXt([block(8, 12, 2), block(12, None, 1)], num_classes=3, layer_scale=0.5)


HEADS = {"in_proj/1": 3, "in_proj/0": 4}
#: With what its heads, what is in each of them, and its blocks' sums are called, and the size of an image.
NETWORKS = {
    "attention of ours": (lambda: Vision(Attention), {"queries_keys_values/1": 3, "queries_keys_values/0": 4}, 12, 4),
    "fused": (lambda: Vision(Fused), {"qkv/1": 3, "qkv/0": 4}, 12, 4),
    "apart": (lambda: Vision(Apart), {"key/1": 3, "key/0": 4, "value/0": 8}, 12, 4),
    # What is inside is as wide as what is outside: a third of both goes with each head, a quarter with each place.
    "as wide as the tokens": (lambda: Vision(Chunked), {}, None, 4),
    "MultiheadAttention": (lambda: Vision(Self), HEADS, 12, 4),
    "torchvision's ViT": (vit, HEADS, 12, 4),
    "torchvision's Swin": (swin, {}, None, 16),
    "ConvNeXt": (convnext, {}, 12, 32),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_all_widths_of_a_transformer_go_and_what_is_left_computes_the_same(name):
    make, inside, width, size = NETWORKS[name]
    torch.manual_seed(0)
    network, image = scattered(make()).double(), torch.rand(1, 3, size, size, dtype=torch.double)
    open_attention(network)
    surgery = Surgery(network, image)
    assert surgery.fixed == {}
    for ending, units in inside.items():
        assert {len(group.units) for root, group in surgery.groups.items() if root.endswith(ending)} == {units}
    sums = [group for group in surgery.groups.values() if group.averages]
    assert width in [len(group.units) for group in sums] or width is None
    for fraction in (0.25, 0.5, 0.9):
        generator = torch.Generator().manual_seed(1)
        removals = some_of_each(surgery, fraction, generator)
        smaller, zeros = copy.deepcopy(network), zeroed(network, surgery, removals)
        replay(smaller, image, [removals])
        images = torch.rand((2, *image.shape[1:]), generator=generator, dtype=torch.double)
        with torch.no_grad():
            expected = zeros.eval()(images)
            assert float((smaller.eval()(images) - expected).abs().max()) <= 1e-9 * float(expected.abs().max())
        assert sum(p.numel() for p in smaller.parameters()) < (1 - fraction / 3) * sum(
            p.numel() for p in network.parameters()
        )
        smaller.train()(images).sum().backward()
        fresh = make().double()
        replay(fresh, image, [removals])
        fresh.load_state_dict(smaller.state_dict())


def test_open_attention_computes_what_it_did_and_loads_what_it_was():
    torch.manual_seed(0)
    closed = nn.MultiheadAttention(6, 3)
    nn.init.normal_(closed.in_proj_bias)
    attention = copy.deepcopy(closed)
    assert open_attention(nn.Sequential(attention)) == ["0"]
    assert isinstance(attention, OpenAttention)
    tokens, others = torch.rand(4, 2, 6), torch.rand(5, 2, 6)
    padding = torch.tensor([[False] * 4 + [True], [False] * 5])
    for query, key, masks in (
        (tokens, tokens, {"attn_mask": torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)}),
        (tokens, others, {"key_padding_mask": padding}),
        (tokens, others, {"attn_mask": torch.rand(6, 4, 5)}),
        (tokens[:, 0], others[:, 0], {"average_attn_weights": False}),
    ):
        value = query if query is key else key.clone()
        for found, expected in zip(
            attention(query, key, value, **masks), closed(query, key, value, **masks), strict=True
        ):
            assert torch.allclose(found, expected, atol=1e-6)
        short = attention(query, key, value, need_weights=False, **masks)
        assert torch.allclose(short[0], closed(query, key, value, need_weights=False, **masks)[0], atol=1e-6)
    nn.init.normal_(closed.in_proj_weight)
    attention.load_state_dict(closed.state_dict())
    assert attention.in_proj.weight.equal(closed.in_proj_weight)
    parts = nn.MultiheadAttention(6, 3, kdim=4, vdim=5, bias=False)
    attention = copy.deepcopy(parts)
    open_attention(nn.Sequential(attention))
    inputs = tokens, torch.rand(5, 2, 4), torch.rand(5, 2, 5)
    assert torch.allclose(attention(*inputs)[0], parts(*inputs)[0], atol=1e-6)


def test_heads_and_what_is_in_them_compete_and_are_counted_once():
    torch.manual_seed(0)
    network, image = Vision(Fused), torch.rand(1, 3, 4, 4)
    result = secateur.prune(network, "L1Norm", sparsity=0.5, example=image, distribution="uniform")
    (step,) = result.steps
    # Of both blocks 36 outputs of qkv and 48 of the perceptron, and five times 12 of what all add to.
    assert step.candidates == 2 * (36 + 48) + 5 * 12
    left = 2 * network.blocks[0].perceptron[0].out_features + 5 * network.patches.out_channels
    assert step.kept == left + sum(block.attention.qkv.out_features for block in network.blocks)
    assert abs(step.kept - step.candidates / 2) <= 12
    assert all(block.attention.qkv.out_features <= 24 for block in network.blocks)
    assert outputs(network, image).shape == (2, 3)


def test_widths_are_rounded_as_asked_and_heads_are_not():
    torch.manual_seed(0)
    network = nn.Sequential(Block(Attention, 24, 3), nn.LayerNorm(24), nn.Linear(24, 3))
    result = secateur.prune(
        network, "L1Norm", sparsity=0.4, example=torch.rand(1, 5, 24), distribution="uniform", round_to=4
    )
    block = network[0]
    # 0.6 of 96 is 57.6
    assert block.perceptron[0].out_features == 56
    assert block.attention.queries_keys_values.out_features % (3 * 4 * block.attention.heads) == 0
    assert result.steps[0].kept == 56 + block.attention.queries_keys_values.out_features


def test_layers_of_a_transformer_are_fitted_to_what_they_gave_before():
    torch.manual_seed(0)
    images, targets = torch.rand(16, 3, 4, 4), torch.zeros(16, dtype=torch.long)
    plain, fitted, dense = Vision(Attention), None, None
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        dense, fitted = plain(images), copy.deepcopy(plain)
        for network, how in ((plain, "none"), (fitted, "least_squares")):
            secateur.prune(
                network, "L1Norm", sparsity=0.3, distribution="uniform", batches=[(images, targets)], compensate=how
            )
        assert [p.shape for p in plain.parameters()] == [p.shape for p in fitted.parameters()]
        assert (fitted(images) - dense).square().mean() < 0.5 * (plain(images) - dense).square().mean()
    assert not any(module._forward_hooks for module in fitted.modules())
