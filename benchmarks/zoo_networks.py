"""The networks of torchvision and timm that benchmarks/zoo.py looks at, small enough for a CPU."""

import functools
from collections import Counter

import torch
from torch import Tensor, nn

import secateur.utils.torchvision_import  # noqa: F401 - before timm, which imports torchvision itself
from secateur.runs.model_zoos import timm_network, torchvision_network

#: One of each of 40 families of timm.
TIMM = [
    "beit_base_patch16_224", "cait_xxs24_224", "coat_lite_tiny", "convit_tiny", "convmixer_768_32", "convnext_atto",
    "convnextv2_atto", "crossvit_9_240", "cspresnet50", "deit3_small_patch16_224", "deit_tiny_patch16_224",
    "densenet121", "dla34", "dm_nfnet_f0", "dpn48b", "edgenext_xx_small", "efficientformer_l1", "efficientnet_b0",
    "eva02_tiny_patch14_224", "fastvit_t8", "fbnetc_100", "ghostnet_050", "hardcorenas_a", "hrnet_w18_small",
    "inception_v4", "levit_128s", "mixer_s32_224", "mixnet_s", "mobilenetv3_small_050", "mobilenetv4_conv_small_050",
    "mobilevit_xxs", "mvitv2_tiny", "nf_regnet_b0", "poolformer_s12", "pvt_v2_b0", "regnetx_002", "repvgg_a0",
    "res2net50_14w_8s", "resmlp_12_224", "resnest14d", "resnetv2_50", "rexnet_100", "selecsls42", "seresnet50",
    "skresnet18", "swin_tiny_patch4_window7_224", "tinynet_e", "vgg11_bn", "vit_tiny_patch16_224", "volo_d1_224",
    "xception41", "xcit_nano_12_p16_224",
]  # fmt: skip
#: The sides of images, by what a name begins with; the first that fits.
SIDES = {
    "inception": 96,
    "vit_h_14": 56,
    "vit_": 64,
    "swin": 64,
    "maxvit": 224,
    "alexnet": 80,
    "efficientformer": 224,
    "levit": 224,
}
CLASSES = 10
#: Networks of more parameters are shortened to so many blocks of each shape, and are not measured if that does not do:
#: they take some 25 bytes each.
MOST, LEFT = 150_000_000, 2


def names() -> list[str]:
    """All classifiers of torchvision, and what there is of the families of timm."""
    from secateur.utils.torchvision_import import torchvision

    found = [f"torchvision:{name}" for name in torchvision.models.list_models(module=torchvision.models)]
    try:
        import timm
    except ImportError:
        return found
    return found + [f"timm:{name}" for name in TIMM if name in timm.list_models()]


def build(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network, the same at each call, and an image; of a large one few blocks of each shape."""
    side = side_of(name)
    torch.manual_seed(0)
    if is_large(name):
        with torch.device("meta"):
            network = whole(name, side)
        shorten(network)
        network = initialised(network.to_empty(device="cpu"))
    else:
        network = whole(name, side)
    return network.eval(), torch.rand(1, 3, side, side)


def side_of(name: str) -> int:
    """How many pixels high and wide a network's images are."""
    zoo, _, own = name.partition(":")
    side = next((side for start, side in SIDES.items() if own.startswith(start)), 64)
    if zoo == "torchvision":
        return side
    import timm

    facts = timm.get_pretrained_cfg(own)
    return facts.input_size[1] if facts and facts.fixed_input_size else side


def whole(name: str, side: int) -> nn.Module:
    """A network as it is in its zoo."""
    zoo, _, own = name.partition(":")
    return (torchvision_network if zoo == "torchvision" else timm_network)(own, (3, side, side), CLASSES)


@functools.cache
def is_large(name: str) -> bool:
    """Whether a network of torchvision has more than `MOST` parameters, and can be shortened: not all can.

    Those of timm here have fewer.
    """
    if not name.startswith("torchvision"):
        return False
    try:
        with torch.device("meta"):
            return parameters_of(whole(name, side_of(name))) > MOST
    except NotImplementedError:  # it looks at numbers while it is made
        return False


def parameters_of(network: nn.Module) -> int:
    """How many there are."""
    return sum(parameter.numel() for parameter in network.parameters())


def shorten(network: nn.Module) -> None:
    """Leave two of each row of blocks whose tensors have equal shapes."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            seen = Counter()
            for name, child in list(module.named_children()):
                shapes = type(child), *(tuple(parameter.shape) for parameter in child.parameters())
                seen[shapes] += 1
                if len(shapes) > 1 and seen[shapes] > LEFT:
                    del module._modules[name]


@torch.no_grad()
def initialised(network: nn.Module) -> nn.Module:
    """Give a network without numbers some: ones, and random weights that keep what they read as large as it is."""
    for tensor in network.state_dict().values():
        if tensor.dim() > 1 and tensor.is_floating_point():
            tensor.normal_(std=tensor[0].numel() ** -0.5)
        else:
            tensor.fill_(1)
    return network


@torch.no_grad()
def scatter(network: nn.Module) -> None:
    """Give a network numbers as after some training, so that none hides what is behind it.

    Norms, and all that is one number at first, are drawn anew; weights that are small become as large as keeps what
    they read, on average: attention of small numbers is a mean, and an output of small weights is its bias.
    """
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if bool((tensor == tensor.flatten()[0]).all()):
            low = -0.5 if name.endswith(("bias", "running_mean")) else 0.5
            tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
        elif tensor.dim() > 1 and (deviation := float(tensor.std())):
            tensor.mul_(max(1.0, tensor[0].numel() ** -0.5 / deviation))


def blocks_of(layers: list[str]) -> dict[str, set[str]]:
    """The layers by block: by the name of the innermost module that holds two of them or more."""
    holding = Counter(above for layer in layers for above in modules_above(layer))
    blocks: dict[str, set[str]] = {}
    for layer in layers:
        own = next((above for above in modules_above(layer) if holding[above] > 1), "")
        blocks.setdefault(own, set()).add(layer)
    return blocks


def modules_above(layer: str) -> list[str]:
    """The names of the modules that hold a layer, the innermost first."""
    parts = layer.split(".")
    return [".".join(parts[:number]) for number in reversed(range(len(parts)))]
