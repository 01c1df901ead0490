"""A network of convolutions only."""

from torch import Tensor, nn

from secateur.models.blocks.initialisation import he_normal


class ConvOnly(nn.Module):
    """All-CNN-C (Springenberg et al., 2015, "Striving for Simplicity: The All Convolutional Net", table 1).

    Convolutions of stride 2 take the place of pooling, and 1x1 convolutions that of linear layers; the logits are
    averages over the map. 1,369,738 parameters on CIFAR-10, 1.4 million in the paper.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels = input_shape[0]
        layers: list[nn.Module] = [nn.Dropout(0.2)]
        # (channels, kernel, stride)
        for outputs, kernel, stride in (
            *((96, 3, 1), (96, 3, 1), (96, 3, 2)),
            *((192, 3, 1), (192, 3, 1), (192, 3, 2)),
            *((192, 3, 1), (192, 1, 1)),
        ):
            layers += [nn.Conv2d(channels, outputs, kernel, stride, padding=kernel // 2), nn.ReLU()]
            if stride == 2:
                layers.append(nn.Dropout(0.5))
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Conv2d(channels, num_classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
