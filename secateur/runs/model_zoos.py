"""Networks of other packages, with their input and their head fitted to the data."""

from __future__ import annotations

from torch import nn

from secateur.utils.errors import UserError, nearest


def check_name(name: str) -> None:
    """Raise `UserError` where the zoo, which must be installed, has no such network; as "torchvision:resnet50"."""
    from secateur.utils.torchvision_import import torchvision  # which timm needs too, and may not load by itself

    zoo, _, network = name.partition(":")
    if zoo == "torchvision":
        known, what = torchvision.models.list_models(module=torchvision.models), "classification network"
    else:
        import timm

        known, what = timm.list_models(), "network"
    if network not in known:
        raise UserError(f"--model {name}: {zoo} has no {what} '{network}'{nearest(network, known)}")


def torchvision_network(name: str, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build a classification network of torchvision with fresh weights, as in `--model torchvision:resnet50`."""
    from secateur.utils.torchvision_import import torchvision

    check_name(f"torchvision:{name}")
    builder = torchvision.models.get_model_builder(name)
    options = {}
    if name in ("googlenet", "inception_v3"):
        # Auxiliary classifiers return several outputs in training; and without the second flag they warn.
        options = {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        options = {"image_size": input_shape[1]}
    network = builder(weights=None, num_classes=num_classes, **options)
    _fit_input(network, input_shape[0])
    return network


def timm_network(name: str, input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build a network of timm with fresh weights, as in `--model timm:resnet18`."""
    import secateur.utils.torchvision_import  # noqa: F401 - timm imports torchvision, which may not load by itself

    import timm  # isort: skip

    check_name(f"timm:{name}")
    options = {"num_classes": num_classes, "in_chans": input_shape[0]}
    facts = timm.get_pretrained_cfg(name)
    if facts is not None and facts.fixed_input_size:
        options["img_size"] = input_shape[1:]
    return timm.create_model(name, pretrained=False, **options)


def _fit_input(network: nn.Module, channels: int) -> None:
    """Give the first convolution another number of input channels, initialised as torch does."""
    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if first.in_channels == channels:
        return
    fitted = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,
        first.stride,
        first.padding,
        first.dilation,
        bias=first.bias is not None,
    )
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, fitted)
