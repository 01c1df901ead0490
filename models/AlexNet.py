"""AlexNet."""

from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, averaged_map, is_small
from secateur.models.blocks.initialisation import he_normal


class AlexNet(TwoForms):
    """AlexNet on one device (Krizhevsky, 2014, "One weird trick ..."): 61,100,840 parameters on ImageNet.

    For small images the pooling has windows of 2, and one linear layer follows: 2,472,266 parameters on CIFAR-10, the
    form of many repositories.
    """

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        small = is_small(input_shape, form)

        def pool() -> nn.Module:
            return nn.MaxPool2d(2, ceil_mode=True) if small else nn.MaxPool2d(3, 2)

        self.features = nn.Sequential(
            nn.Conv2d(input_shape[0], 64, 11, stride=4, padding=5 if small else 2),
            nn.ReLU(),
            pool(),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            pool(),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            pool(),
        )
        if small:
            layers = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, num_classes)]
        else:
            layers = [
                averaged_map(6, input_shape),
                nn.Flatten(),
                nn.Dropout(),
                nn.Linear(256 * 6 * 6, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Linear(4096, num_classes),
            ]
        self.classifier = nn.Sequential(*layers)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
