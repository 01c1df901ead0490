"""Networks that have one form for small images and another for large ones."""

from typing import Literal

from torch import nn

from secateur.config.option import option

Form = Literal["auto", "cifar", "imagenet"]


class TwoForms(nn.Module):
    """A network with the option `--form`: how soon, and how far, it shrinks the images."""

    form: Form = option(
        "auto",
        "form of the network for small or for large images; auto is cifar up to 64 pixels, lottery another name of "
        "cifar",
        choices=("auto", "cifar", "imagenet"),
        also=("model_class",),
        synonyms={"lottery": "cifar", "default": "auto"},
    )


def is_small(input_shape: tuple[int, int, int], form: Form) -> bool:
    """Whether images (C, H, W) go through the form that papers on CIFAR use: up to 64 pixels unless `form` says so.

    Raises `ValueError` where there is no such form.
    """
    if form not in ("auto", "cifar", "imagenet"):
        raise ValueError(f"there is no form '{form}': auto, cifar or imagenet")
    return max(input_shape[1:]) <= 64 if form == "auto" else form == "cifar"


def averaged_map(size: int, input_shape: tuple[int, int, int], exact: int = 224) -> nn.Module:
    """Averages a map to `size` x `size`, for networks that shrink images of `exact` pixels to exactly that.

    Those it leaves as they are: on CUDA, averaging to more than one pixel has no deterministic gradient.
    """
    return nn.Identity() if tuple(input_shape[1:]) == (exact, exact) else nn.AdaptiveAvgPool2d(size)
