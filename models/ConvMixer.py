"""ConvMixer."""

from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, is_small


class Residual(nn.Module):
    """Adds what comes in to what the layers make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to the same shape."""
        return features + self.layers(features)


class ConvMixer(TwoForms):
    """ConvMixer (Trockman & Kolter, 2022, "Patches Are All You Need?", figure 2).

    Patches are embedded; then a depthwise convolution mixes places and a 1x1 convolution channels, again and again.
    For small images ConvMixer-256/8 (patches of 1, kernels of 9): 706,570 parameters on CIFAR-10, 0.7 million in the
    paper. For large ones ConvMixer-768/32 (7 and 7): 21,110,248 on ImageNet, 21.1 million in the paper.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        width, depth, patch, kernel = (256, 8, 1, 9) if is_small(input_shape, form) else (768, 32, 7, 7)
        layers: list[nn.Module] = [nn.Conv2d(input_shape[0], width, patch, patch), nn.GELU(), nn.BatchNorm2d(width)]
        for _ in range(depth):
            places = nn.Conv2d(width, width, kernel, padding="same", groups=width)
            layers += [
                Residual(places, nn.GELU(), nn.BatchNorm2d(width)),
                nn.Conv2d(width, width, 1),
                nn.GELU(),
                nn.BatchNorm2d(width),
            ]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.features(images)).flatten(1))
