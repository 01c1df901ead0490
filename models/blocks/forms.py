"""Networks that have one form for small images and another for large ones."""

import argparse
from typing import Literal

from torch import nn

Form = Literal["auto", "cifar", "imagenet"]


class TwoForms(nn.Module):
    """A network with the option `--form`: how soon, and how far, it shrinks the images."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare the form."""
        help_text = "the form for small or for large images (default: %(default)s, which is cifar up to 64 pixels)"
        parser.add_argument("--form", choices=("auto", "cifar", "imagenet"), default="auto", help=help_text)


def is_small(input_shape: tuple[int, int, int], form: Form) -> bool:
    """Whether images (C, H, W) go through the form that papers on CIFAR use: up to 64 pixels unless `form` says so.

    Raises `ValueError` where there is no such form.
    """
    if form not in ("auto", "cifar", "imagenet"):
        raise ValueError(f"there is no form '{form}': auto, cifar or imagenet")
    return max(input_shape[1:]) <= 64 if form == "auto" else form == "cifar"
