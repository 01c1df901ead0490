"""Conv-6."""

from torch import Tensor, nn

from secateur.models.blocks.initialisation import glorot_normal


class Conv6(nn.Module):
    """Conv-6 (Frankle & Carbin, 2019, "The Lottery Ticket Hypothesis", figure 2): VGG in small, for CIFAR-10.

    Three pairs of 3x3 convolutions of 64, 128 and 256 channels, each followed by pooling; hidden layers of 256 and 256.
    2,262,602 parameters at 3x32x32.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        layers: list[nn.Module] = []
        for outputs in (64, 128, 256):
            for inputs in (channels, outputs):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            channels = outputs
        self.features = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(256 * (height // 8) * (width // 8), 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(256, num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
