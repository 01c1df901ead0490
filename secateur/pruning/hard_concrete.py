"""Hard concrete gates: whether an input or a channel of a layer is open is learnt together with the weights.

Louizos, Welling and Kingma, 2018, "Learning Sparse Neural Networks through L0 Regularization", sections 2.1 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from secateur.pruning.layers import along_outputs, execution_order, prunable_layers
from secateur.pruning.masks import Masks

#: A concrete variable in (0, 1) is stretched to (GAMMA, ZETA) and clipped to [0, 1], so that 0 and 1 have probability.
GAMMA, ZETA = -0.1, 1.1
#: The temperature of the concrete distribution.
BETA = 2 / 3
#: Keeps the noise away from 0 and 1, where its logit is infinite.
EPSILON = 1e-6
#: The share of the concrete variables that begin below one half, and the standard deviation of log-alpha around it.
DROP_RATE, DEVIATION = 0.5, 0.01
#: Beyond these a gate would hardly have a gradient that could bring it back.
LOWEST, HIGHEST = math.log(0.01), math.log(100)


def probability_open(log_alpha: Tensor) -> Tensor:
    """P(z > 0), of any shape, in (0, 1): 0.83 for log-alpha 0 (equation 12)."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


def sampled_gates(log_alpha: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Draw z in [0, 1], of shape (*batch, G), for log-alpha (G,) (equations 10 and 11)."""
    noise = torch.empty(*batch, *log_alpha.shape, device=log_alpha.device).uniform_(EPSILON, 1 - EPSILON)
    return _stretched(torch.sigmoid((noise.logit() + log_alpha) / BETA))


def deterministic_gates(log_alpha: Tensor) -> Tensor:
    """z in [0, 1] at test time, of the shape of log-alpha (equation 13)."""
    return _stretched(torch.sigmoid(log_alpha))


def _stretched(concrete: Tensor) -> Tensor:
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def gated_layers(network: nn.Module, example: Tensor, outer: bool) -> list[str]:
    """Return the names of the layers that have gates, in the order in which a forward pass reaches them.

    All prunable ones, but: a Linear layer gates its inputs, and those of the first are the image, which only `outer`
    lets go; a convolution gates its outputs, and those of the last are the logits, which always stay.
    """
    layers, reached = prunable_layers(network), execution_order(network, example)

    def is_free(name: str) -> bool:
        inner = (outer or name != reached[0]) if isinstance(layers[name], nn.Linear) else name != reached[-1]
        return inner and layers[name].weight.requires_grad

    return [name for name in dict.fromkeys(reached) if is_free(name)]


class HardConcreteGates:
    """A gate for each input of the named Linear layers and each output channel of the named convolutions.

    The network keeps its layers and its `state_dict`: between `attach` and `detach`, hooks multiply what passes through
    the layers, in training by gates drawn for each sample, in evaluation by those of test time. The parameters
    log-alpha, float32 (G,), are in `log_alpha` by layer name, here alone.
    """

    def __init__(self, network: nn.Module, masks: Masks, names: Iterable[str]) -> None:
        self.network = network
        self.masks = masks
        layers = prunable_layers(network)
        self.layers = {name: layers[name] for name in names}
        start = math.log(1 - DROP_RATE) - math.log(DROP_RATE)
        self.log_alpha = {
            # Drawn on the CPU, so that the same seed means the same gates on every device.
            name: nn.Parameter((start + DEVIATION * torch.randn(_number_of_gates(layer))).to(layer.weight.device))
            for name, layer in self.layers.items()
        }
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def attached(self) -> bool:
        """Whether the hooks are on the network."""
        return bool(self._handles)

    def attach(self) -> None:
        """Let the gates act on every layer that has one of the weights."""
        for name in self.layers:
            for layer in self._sharing(name):
                if isinstance(layer, nn.Linear):
                    self._handles.append(layer.register_forward_pre_hook(self._gate_inputs(name)))
                else:
                    self._handles.append(layer.register_forward_hook(self._gate_channels(name)))

    def detach(self) -> None:
        """Leave the network as if there were no gates."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _sharing(self, name: str) -> list[nn.Module]:
        weight = self.masks.weights[name]
        return [module for module in self.network.modules() if getattr(module, "weight", None) is weight]

    def _gate_inputs(self, name: str) -> Callable[..., tuple[Tensor, ...]]:
        def hook(layer: nn.Linear, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            features = inputs[0]  # (B, ..., F)
            z = self._draw(name, layer, features.shape[: min(1, features.dim() - 1)])
            z = z.view(*z.shape[:-1], *[1] * (features.dim() - z.dim()), -1)
            return features * z.to(features.dtype), *inputs[1:]

        return hook

    def _gate_channels(self, name: str) -> Callable[..., Tensor]:
        def hook(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
            spatial = len(layer.kernel_size)  # output: (B, C, ...), or (C, ...) of a single image
            z = self._draw(name, layer, output.shape[: -spatial - 1])
            return output * z.view(*z.shape, *[1] * spatial).to(output.dtype)

        return hook

    def _draw(self, name: str, layer: nn.Module, batch: tuple[int, ...]) -> Tensor:
        log_alpha = self.log_alpha[name]
        return sampled_gates(log_alpha, batch) if layer.training else deterministic_gates(log_alpha)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep every log-alpha in [log 0.01, log 100]."""
        for log_alpha in self.log_alpha.values():
            log_alpha.clamp_(LOWEST, HIGHEST)

    def gated(self) -> Iterator[tuple[Tensor, Tensor, Tensor | float]]:
        """Yield each gated parameter, with P(z > 0) and with 1 where it is not pruned, both broadcastable to it."""
        for name, layer in self.layers.items():
            probability = probability_open(self.log_alpha[name])
            yield layer.weight, _along_weight(layer, probability), self.masks.kept.get(name, 1.0)
            for bias in self._gated_biases(name):
                yield bias, probability, 1.0

    def ungated(self) -> list[nn.Parameter]:
        """The other parameters of the network that are trained."""
        gated = {id(parameter) for parameter, *_ in self.gated()}
        return [
            parameter
            for parameter in self.network.parameters()
            if parameter.requires_grad and id(parameter) not in gated
        ]

    def _gated_biases(self, name: str) -> list[nn.Parameter]:
        biases = {id(layer.bias): layer.bias for layer in self._sharing(name) if not isinstance(layer, nn.Linear)}
        return [bias for bias in biases.values() if bias is not None]

    @torch.no_grad()
    def gates_open(self) -> dict[str, int]:
        """How many gates of each layer are not zero at test time."""
        return {name: int(deterministic_gates(log_alpha).count_nonzero()) for name, log_alpha in self.log_alpha.items()}

    @torch.no_grad()
    def gates_expected(self) -> dict[str, float]:
        """How many gates of each layer are not zero in training, on average: the sum of P(z > 0)."""
        return {name: float(probability_open(log_alpha).sum()) for name, log_alpha in self.log_alpha.items()}

    @torch.no_grad()
    def expected_sparsity(self) -> float:
        """The share in [0, 1] of all prunable weights that is zero in training, on average."""
        total = sum(weight.numel() for weight in self.masks.weights.values())
        gone = 0.0
        for name, weight in self.masks.weights.items():
            kept = self.masks.kept.get(name, torch.ones_like(weight)).float()
            if name in self.layers:
                kept = kept * _along_weight(self.layers[name], probability_open(self.log_alpha[name]))
            gone += weight.numel() - float(kept.sum())
        return gone / total

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the gates of test time into the weights and biases, and detach: the same function without gates."""
        for name, layer in self.layers.items():
            z = deterministic_gates(self.log_alpha[name])
            layer.weight.mul_(_along_weight(layer, z))
            for bias in self._gated_biases(name):
                bias.mul_(z)
        self.detach()

    @torch.no_grad()
    def pruned(self) -> dict[str, Tensor]:
        """The masks of now without the weights whose gate is zero at test time, for layers that have such gates."""
        masks = {}
        for name, layer in self.layers.items():
            is_open = deterministic_gates(self.log_alpha[name]) > 0
            if not is_open.all():
                kept = self.masks.kept.get(name, torch.ones_like(layer.weight, dtype=torch.bool))
                masks[name] = kept & _along_weight(layer, is_open)
        return masks


def _number_of_gates(layer: nn.Module) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.out_channels


def _along_weight(layer: nn.Module, values: Tensor) -> Tensor:
    """Shape the values of the gates, (G,), so that they broadcast to the layer's weight."""
    return values if isinstance(layer, nn.Linear) else along_outputs(layer, values)
