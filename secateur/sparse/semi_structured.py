"""Linear layers of 2:4 weights on the sparse tensor cores of NVIDIA's GPUs."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from secateur.utils.errors import UserError
from secateur.utils.modes import evaluation_mode

#: Compute capability of the first GPUs that have sparse tensor cores.
CAPABILITY = (8, 0)
#: Rows and columns of a weight have to be multiples of these, in float16 and bfloat16.
MULTIPLES = (32, 64)
#: Outputs agree with the dense network's to this fraction of the largest, in numbers of 8 to 11 bits.
AGREEMENT = 0.05


def semi_structured(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy whose Linear layers of 2:4 weights run without their zeros, by torch's semi-structured tensors.

        secateur.prune(network, "Magnitude", pattern="2:4", example=example)
        fast = secateur.semi_structured(network.half(), example.half())

    For inference. Layers of other weights, or of sizes that are no multiples of 32 x 64, stay dense, as convolutions
    do (Mishra et al., 2021, "Accelerating Sparse Deep Neural Networks", section 3).

    Parameters
    ----------
    network: in float16 or bfloat16, on a GPU of compute capability 8.0 or more.
    example: images (N, C, H, W) of its type, on its device.

    Raises `UserError` where the device or the type is another, where no layer fits, or where outputs do not agree with
    those of the network.
    """
    if example.device.type != "cuda":
        raise UserError(f"semi_structured: 2:4 runs on NVIDIA GPUs alone, and the images are on {example.device}")
    if (found := torch.cuda.get_device_capability(example.device)) < CAPABILITY:
        raise UserError(f"semi_structured: this GPU has compute capability {found[0]}.{found[1]}, 2:4 takes 8.0")
    if example.dtype not in (torch.float16, torch.bfloat16):
        raise UserError(f"semi_structured: {example.dtype} is not float16 or bfloat16: network.half(), example.half()")
    fast = copy.deepcopy(network).eval().requires_grad_(False)
    layers = fitting_layers(fast)
    if not layers:
        raise UserError("semi_structured: no Linear layer has 2:4 weights of a size that is a multiple of 32 x 64")
    for layer in layers.values():
        layer.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach().contiguous()), requires_grad=False)
    with torch.no_grad(), evaluation_mode(network):
        expected, given = network(example), fast(example)
    if (given - expected).abs().max() > AGREEMENT * expected.abs().max():
        raise UserError("semi_structured: outputs differ from those of the network, which stays as it is")
    return fast


def fitting_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """The Linear layers, by name, that have at most two weights in each four neighbours and a size that is possible."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if type(layer) is nn.Linear and is_two_of_four(layer.weight) and _is_possible(layer.weight)
    }


def is_two_of_four(weight: Tensor) -> bool:
    """Whether each four neighbouring weights of a row, (O, I), have two zeros or more."""
    rows, columns = weight.shape
    return columns % 4 == 0 and bool((weight.detach().reshape(rows, -1, 4).count_nonzero(2) <= 2).all())


def _is_possible(weight: Tensor) -> bool:
    return all(size % multiple == 0 for size, multiple in zip(weight.shape, MULTIPLES, strict=True))
