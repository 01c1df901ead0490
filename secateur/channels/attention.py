"""torch's multi-head attention, opened: its projections are layers, and its heads may be fewer, and narrower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: By the name of a parameter of torch's module: of the layer that has it, and its name there.
LAYERS = {
    "in_proj_weight": "in_proj.weight",
    "q_proj_weight": "q_proj.weight",
    "k_proj_weight": "k_proj.weight",
    "v_proj_weight": "v_proj.weight",
    "in_proj_bias": "in_proj.bias",
}


def open_attention(network: nn.Module) -> list[str]:
    """Open all `nn.MultiheadAttention` of a network, in place; returns the names of those that were not open.

    They compute what they did, with the same parameters, the weight of `in_proj_weight` as that of a Linear layer
    `in_proj`. Those that add biases or zeros to keys and values stay as they are.
    """
    opened = []
    for name, module in network.named_modules():
        plain = type(module) is nn.MultiheadAttention and module.bias_k is None and not module.add_zero_attn
        if plain and (module._qkv_same_embed_dim or module.in_proj_bias is None):
            _open(module)
            opened.append(name)
    return opened


def _open(module: nn.MultiheadAttention) -> None:
    module.__class__ = OpenAttention
    module.scale = module.head_dim**-0.5
    for own, place in LAYERS.items():
        layer, _, kind = place.partition(".")
        weight = getattr(module, own) if kind == "weight" else None
        if weight is not None:
            setattr(module, own, None)
            linear = nn.Linear(*reversed(weight.shape), bias=False, device="meta")
            linear.weight = weight
            setattr(module, layer, linear)
    if module._qkv_same_embed_dim:
        module.in_proj.bias = module.in_proj_bias
    # Torch's encoder layers then call forward, and no operation for a whole block.
    module.in_proj_bias, module._qkv_same_embed_dim = None, False


class OpenAttention(nn.MultiheadAttention):
    """What `nn.MultiheadAttention` computes, by layers `in_proj`, or `q_proj`, `k_proj` and `v_proj`, and `out_proj`.

    Scores are scaled by the width that a head began with, also where it has lost some of it.
    """

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Queries (L, E), (L, N, E), or with `batch_first` (N, L, E), to the same shape, and weights (N, L, S)."""
        batched = query.dim() == 3
        places = 0 if not batched or self.batch_first else 1
        same = query is key is value
        tensors = (query,) if same else (query, key, value)
        tensors = [tensor.transpose(0, 1) if places else tensor for tensor in tensors]
        tensors = [tensor if batched else tensor.unsqueeze(0) for tensor in tensors]
        heads = [part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self._project(*tensors)]
        mask = self._mask(heads[0], key_padding_mask if batched else _row(key_padding_mask), attn_mask)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = heads[0] * self.scale @ heads[1].transpose(-2, -1)
            weights = functional.softmax(scores if mask is None else scores + mask, -1)
            weights = functional.dropout(weights, dropout)
            gathered = weights @ heads[2]
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            gathered = functional.scaled_dot_product_attention(*heads, mask, dropout, scale=self.scale)
            weights = None
        output = self.out_proj(gathered.transpose(1, 2).flatten(2))
        output = output.transpose(0, 1) if places else output if batched else output.squeeze(0)
        return output, weights

    def _project(self, query: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values (N, L, width), which are fed alike or each from its own."""
        if "in_proj" not in self._modules:
            key, value = others or (query, query)
            return self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if not others:
            return self.in_proj(query).chunk(3, -1)
        weights, biases = self.in_proj.weight.chunk(3), (None, None, None)
        biases = biases if self.in_proj.bias is None else self.in_proj.bias.chunk(3)
        return tuple(map(functional.linear, (query, *others), weights, biases))

    def _mask(self, query: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """What is added to the scores (N, heads, L, S)."""
        if mask is not None:
            mask = _added(mask, query)
            mask = mask.view(query.shape[0], -1, *mask.shape[1:]) if mask.dim() == 3 else mask
        if padding is not None:
            padding = _added(padding, query)[:, None, None, :]
            mask = padding if mask is None else mask + padding
        return mask

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        """Take tensors under the names that torch's module has for them, too."""
        for own, place in LAYERS.items():
            if prefix + own in state_dict:
                state_dict[prefix + place] = state_dict.pop(prefix + own)
        super()._load_from_state_dict(state_dict, prefix, *others)


def _row(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.unsqueeze(0)


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask whose True lets nothing through, as what is added to scores."""
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask
