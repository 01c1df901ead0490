"""A first convolution that begins by whitening the patches that it reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.data.batches import Batches
from secateur.parallel.collectives import broadcast_tensors
from secateur.pruning.layer_inputs import see_inputs
from secateur.pruning.layers import prunable_layers
from secateur.utils.errors import UserError

#: Added to each variance, which is 1 over all normalised pixels: Jordan's.
EPSILON = 5e-4
#: From so many patches at most the covariance is computed: of images of 32x32 and kernels of 3x3, from 2,330 images.
PATCHES = 2**21
#: Images whose patches are unfolded at once.
CHUNK = 16


class Whitening:
    """Whitened patches (Page, 2018, "How to Train Your ResNet", part 8; Jordan, 2024, arXiv:2404.00498, section 3.2).

    The filters of the first convolution become eigenvectors of the covariance of the patches of `images`, the largest
    eigenvalues first, over sqrt(eigenvalue + 5e-4), then the same with the other sign, as far as there are channels.
    The other filters, and a bias, stay as they were drawn. The images are normalised and not augmented: crops would
    bring black borders. They are spread over the training set, whose classes may lie one after another.

    The authors freeze this layer. Here it is an initialisation: training and pruning change it like any other. Nothing
    random is drawn, and all networks that one object whitens get the same filters.
    """

    def __init__(self, images: Batches) -> None:
        self.images = images
        #: The eigenvectors (F, C, kh, kw) over their standard deviations, once a network has told the kernel.
        self.filters: Tensor | None = None

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        """Whiten a network on the CPU. Raises `UserError` where its first layer, or the images, cannot be."""
        layer = first_convolution(network, self.images.images.shape)
        if self.filters is None:  # of several processes all are here, and eigenvectors may have other signs elsewhere
            self.filters = whitening_filters(layer, self.images)
            broadcast_tensors([self.filters])
        pairs = self.filters[: (layer.out_channels + 1) // 2]
        filters = torch.cat([pairs, -pairs])[: layer.out_channels]
        layer.weight[: len(filters)] = filters


def first_convolution(network: nn.Module, shape: tuple[int, int, int]) -> nn.Conv2d:
    """Return the layer that reads the images of this shape (C, H, W).

    Raises `UserError` where that is no Conv2d of one group, or something else reads them before.
    """
    images = torch.linspace(-1, 1, torch.Size(shape).numel()).view(1, *shape)
    found: list[tuple[str, nn.Module, Tensor]] = []
    see_inputs(network, prunable_layers(network), images, lambda *layer: found.append(layer))
    kind = type(network).__name__
    advice = "leave it out, or take a network that begins with a convolution"
    if not found:
        raise UserError(f"--whitening: {kind} has no convolution: {advice}")
    name, layer, inputs = found[0]
    if not isinstance(layer, nn.Conv2d):
        raise UserError(f"--whitening: the first layer of {kind}, {name}, is a {type(layer).__name__}: {advice}")
    if layer.groups > 1:
        raise UserError(f"--whitening: the first layer of {kind}, {name}, has {layer.groups} groups: {advice} of one")
    if not torch.equal(inputs, images):
        raise UserError(f"--whitening: the first convolution of {kind}, {name}, does not read the images: {advice}")
    return layer


def whitening_filters(layer: nn.Conv2d, train: Batches) -> Tensor:
    """Return eigenvectors of the covariance of training patches over their standard deviations, float32 (F, C, kh, kw).

    F = C * kh * kw, the largest eigenvalue first. Patches lie as the layer reads them, but for its padding. Raises
    `UserError` where there are no more of them than F.
    """
    size, number = layer.weight[0].numel(), len(train.images)
    each = 1
    for pixels, kernel, stride, dilation in zip(
        train.images.shape[1:], layer.kernel_size, layer.stride, layer.dilation, strict=True
    ):
        each *= max(0, (pixels - dilation * (kernel - 1) - 1) // stride + 1)
    if number * each <= size:
        kernel = "x".join(map(str, layer.kernel_size))
        raise UserError(
            f"--whitening: {number} training images have {number * each} patches of {kernel}, too few for filters of "
            f"{size} weights: take more or larger images, as by --N or --input_dim, or leave it out"
        )
    spread = torch.linspace(0, number - 1, min(number, max(1, PATCHES // each)), dtype=torch.float64).long()
    sums, products, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
    for inputs, _ in train.subset(spread):
        for part in inputs.cpu().split(CHUNK):
            columns = functional.unfold(part, layer.kernel_size, layer.dilation, stride=layer.stride)
            patches = columns.transpose(1, 2).flatten(0, 1).double()
            sums += patches.sum(0)
            products += patches.T @ patches
            count += len(patches)
    means = sums / count
    variances, vectors = torch.linalg.eigh(products / count - means.outer(means))
    # Of patches that never differ in some direction rounding may leave a variance below 0.
    filters = vectors / (variances.clamp(min=0) + EPSILON).sqrt()
    return filters.T.flip(0).float().view(size, *layer.weight.shape[1:])
