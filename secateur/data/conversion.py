"""Images of one shape turned into images of another."""

import torch
from torch import Tensor
from torch.nn import functional

from secateur.utils.errors import UserError


def converted(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Resize pixels, uint8 (N, C, H, W), and turn grey into colour or the other way, to `shape` (C, H, W).

    Raises `UserError` for a number of channels that cannot be had.
    """
    check_channels(pixels.shape[1], shape[0])
    if pixels.shape[1] != shape[0]:
        pixels = pixels.float().mean(1, keepdim=True).round().byte().expand(-1, shape[0], -1, -1)
    if pixels.shape[2:] != shape[1:]:
        # In pieces, so that the float copy of a large data set does not have to fit in memory.
        pieces = [
            functional.interpolate(piece.float(), shape[1:], mode="bilinear", antialias=True).round().byte()
            for piece in pixels.split(4096)
        ]
        pixels = torch.cat(pieces)
    return pixels.contiguous()


def check_channels(there: int, wanted: int) -> None:
    """Refuse a conversion of channels that has no meaning."""
    if there != wanted and 1 not in (there, wanted):
        raise UserError(f"--input_dim {wanted} ...: images of {there} channels convert to 1 only")
