"""torch's multi-head attention, opened: which is, under which names its weights are, and that it computes the same."""

import copy

import pytest
import torch
from torch import nn

from secateur.channels.attention import OpenAttention, open_attention

#: Two sequences of four queries and five keys, three heads of two.
COUNT, QUERIES, KEYS, HEADS, WIDTH = 2, 4, 5, 3, 6


class Own(nn.MultiheadAttention):
    """What others have made of torch's, which may compute another thing."""


def attention_of(*arguments, **options):
    """Attention whose biases are not zero, as they are at first."""
    attention = nn.MultiheadAttention(*arguments, **options)
    for parameter in attention.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return attention


def opened(closed):
    attention = copy.deepcopy(closed)
    assert open_attention(nn.Sequential(attention)) == ["0"]
    return attention


def test_only_attention_that_can_be_opened_is_and_its_parameters_stay_the_same():
    network = nn.ModuleDict(
        {
            "plain": nn.MultiheadAttention(6, 3),
            "unbiased": nn.MultiheadAttention(6, 3, bias=False),
            "sizes": nn.MultiheadAttention(6, 3, kdim=4, vdim=5, bias=False),
            "sizes and biases": nn.MultiheadAttention(6, 3, kdim=4),
            "biases beside keys": nn.MultiheadAttention(6, 3, add_bias_kv=True),
            "zeros beside keys": nn.MultiheadAttention(6, 3, add_zero_attn=True),
            "own": Own(6, 3),
        }
    )
    before = dict(network.named_parameters())
    assert open_attention(network) == ["plain", "unbiased", "sizes"]
    assert open_attention(network) == []
    assert [type(module) is OpenAttention for module in network.values()] == [True] * 3 + [False] * 4
    plain, unbiased, sizes = (network[name] for name in ("plain", "unbiased", "sizes"))
    assert sorted(plain.state_dict()) == ["in_proj.bias", "in_proj.weight", "out_proj.bias", "out_proj.weight"]
    assert sorted(unbiased.state_dict()) == ["in_proj.weight", "out_proj.weight"]
    assert sorted(sizes.state_dict()) == ["k_proj.weight", "out_proj.weight", "q_proj.weight", "v_proj.weight"]
    assert plain.in_proj.weight is before["plain.in_proj_weight"]
    assert plain.in_proj.bias is before["plain.in_proj_bias"]
    assert sizes.v_proj.weight is before["sizes.v_proj_weight"]
    layers = [plain.in_proj, sizes.q_proj, sizes.k_proj, sizes.v_proj]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(6, 18), (6, 6), (4, 6), (5, 6)]
    assert [layer.bias is None for layer in layers] == [False, True, True, True]
    assert plain.scale == pytest.approx(0.5**0.5)
    assert (plain.in_proj_weight, plain.in_proj_bias) == (None, None)


def masks_of(*batch):
    """Masks of all forms, none of which hides all keys from a query; (N, ...), or of one sequence (...)."""
    count = batch[0] if batch else 1
    causal = torch.triu(torch.ones(QUERIES, KEYS, dtype=torch.bool), 1)
    padding = (torch.arange(KEYS) >= 4 - torch.arange(count)[:, None]).view(*batch, KEYS)
    added = torch.randn(count * HEADS, QUERIES, KEYS)
    return [
        {},
        {"attn_mask": causal},
        {"attn_mask": torch.randn(QUERIES, KEYS)},
        {"attn_mask": added},
        {"key_padding_mask": padding},
        {"key_padding_mask": torch.randn(*batch, KEYS)},
        {"key_padding_mask": padding, "attn_mask": causal},
        {"key_padding_mask": torch.randn(*batch, KEYS), "attn_mask": added},
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["sequence first", "batch first", "one sequence", "one sequence, batch first"])
def test_open_attention_computes_the_same_of_every_form_and_mask(form, bias):
    closed = attention_of(WIDTH, HEADS, dropout=0.5, bias=bias, batch_first="batch first" in form).eval()
    attention = opened(closed)
    batch = () if "one" in form else (COUNT,)
    query, key, value = (torch.randn(*batch, length, WIDTH) for length in (QUERIES, KEYS, KEYS))
    if form == "sequence first":
        query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
    for masks in masks_of(*batch):
        for inputs in ((query, key, value), (query, key, key)):
            for options in ({}, {"average_attn_weights": False}):
                found, expected = attention(*inputs, **masks, **options), closed(*inputs, **masks, **options)
                torch.testing.assert_close(found, expected)
            output, weights = attention(*inputs, need_weights=False, **masks)
            torch.testing.assert_close(output, expected[0])
            assert weights is None


@pytest.mark.parametrize("batch_first", [True, False])
def test_what_attends_to_itself_may_have_values_of_its_own(batch_first):
    closed = attention_of(WIDTH, HEADS, batch_first=batch_first)
    attention = opened(closed)
    tokens, values = torch.randn(2, COUNT, QUERIES, WIDTH)
    for inputs in ((tokens, tokens, tokens), (tokens, tokens, values)):
        torch.testing.assert_close(attention(*inputs), closed(*inputs))


def test_queries_keys_and_values_of_several_widths_have_layers_of_their_own():
    closed = nn.MultiheadAttention(6, 3, kdim=4, vdim=5, bias=False, batch_first=True)
    attention = opened(closed)
    inputs = torch.randn(2, 3, 6), torch.randn(2, 7, 4), torch.randn(2, 7, 5)
    torch.testing.assert_close(attention(*inputs), closed(*inputs))
    same = nn.MultiheadAttention(6, 3, kdim=6, vdim=6, bias=False, batch_first=True)
    same._qkv_same_embed_dim = False  # as where the widths are given one by one
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        setattr(same, name, nn.Parameter(torch.randn(6, 6)))
    same.in_proj_weight = None
    torch.testing.assert_close(opened(same)(*[inputs[0]] * 3), same(*[inputs[0]] * 3))


def test_weights_are_dropped_in_training_alone():
    attention = opened(attention_of(WIDTH, HEADS, dropout=1.0, batch_first=True))
    tokens = torch.randn(COUNT, QUERIES, WIDTH)
    nothing = attention.out_proj.bias.expand(COUNT, QUERIES, WIDTH)
    for options in ({}, {"need_weights": False}):
        torch.testing.assert_close(attention.train()(tokens, tokens, tokens, **options)[0], nothing)
        assert not attention.eval()(tokens, tokens, tokens, **options)[0].isclose(nothing).all(-1).any()
    assert not attention.train()(tokens, tokens, tokens)[1].any()


@pytest.mark.parametrize("options", [{}, {"need_weights": False}])
def test_narrower_heads_are_scaled_by_the_width_that_they_began_with(options):
    attention = opened(nn.MultiheadAttention(8, 2, bias=False, batch_first=True))
    attention.in_proj.weight.data = torch.zeros(6, 8)  # a query, a key and a value of each head
    attention.in_proj.weight.data[::2, 0] = 1
    attention.out_proj.weight.data = torch.eye(2)
    tokens = torch.zeros(1, 2, 8)
    tokens[0, :, 0] = torch.tensor([1.0, 2])
    # Of four numbers in each head one is left: scores are those of 1 and 2 with themselves, by the root of four.
    second = torch.sigmoid(torch.tensor([1.0, 2]) / 2)
    found = attention(tokens, tokens, tokens, **options)[0][0, :, 0]
    torch.testing.assert_close(found, 1 + second)


@torch.no_grad()
def test_an_encoder_of_torch_with_open_attention_computes_what_it_did():
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    nn.init.normal_(layer.self_attn.in_proj_bias)
    tokens = torch.randn(2, 4, 6)
    expected = layer(tokens)
    assert open_attention(layer) == ["self_attn"]
    torch.testing.assert_close(layer(tokens), expected)


def test_a_state_is_loaded_under_the_names_before_and_after():
    closed = nn.Sequential(attention_of(6, 3), nn.Linear(6, 6), nn.MultiheadAttention(6, 3, kdim=4, vdim=5, bias=False))
    network = nn.Sequential(
        nn.MultiheadAttention(6, 3), nn.Linear(6, 6), nn.MultiheadAttention(6, 3, kdim=4, vdim=5, bias=False)
    )
    assert open_attention(network) == ["0", "2"]
    fresh = copy.deepcopy(network)
    network.load_state_dict(closed.state_dict())
    fresh.load_state_dict(network.state_dict())
    for each in (network, fresh):
        assert each[0].in_proj.weight.equal(closed[0].in_proj_weight)
        assert each[0].in_proj.bias.equal(closed[0].in_proj_bias)
        assert each[2].k_proj.weight.equal(closed[2].k_proj_weight)
        assert each[0].out_proj.bias.equal(closed[0].out_proj.bias)
    with pytest.raises(RuntimeError, match=r'"0\.in_proj\.bias"'):
        network.load_state_dict({name: tensor for name, tensor in closed.state_dict().items() if name[-4:] != "bias"})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "0\.bias_k"'):
        network.load_state_dict(closed.state_dict() | {"0.bias_k": torch.zeros(1, 1, 6)})
