"""VGG with batch norm (Simonyan & Zisserman, 2015, "Very Deep Convolutional Networks ...", table 1)."""

from collections.abc import Sequence

from torch import Tensor, nn

from secateur.models.blocks.forms import Form, TwoForms, averaged_map, is_small
from secateur.models.blocks.initialisation import he_normal, narrow_normal


def convolution_stages(channels: int, depths: Sequence[int], last_kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Stages of 3x3 convolutions of 64, 128, 256, 512 and 512 channels, each with norm and ReLU; pooling after each.

    `depths` is the number of convolutions of each stage. From three on, the last has a kernel of `last_kernel` pixels.
    `stride` is the first convolution's. A map of a single pixel passes the pooling as it is.
    """
    layers: list[nn.Module] = []
    for depth, outputs in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for position in range(depth):
            kernel = last_kernel if position == 2 else 3
            layers += [
                nn.Conv2d(channels, outputs, kernel, 1 if layers else stride, padding=kernel // 2),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
            channels = outputs
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)


class VGG(TwoForms):
    """Five stages of convolutions, and a classifier by the network's form.

    For large images it is the paper's: 7x7 maps, two hidden layers of 4096 with dropout. For small ones it is one
    linear layer after averaging, in place of the last pooling (OpenLTH's and SynFlow's class `lottery`).
    """

    #: The number of convolutions of each stage.
    depths: Sequence[int]

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, form: Form = "auto") -> None:
        super().__init__()
        self.features = convolution_stages(input_shape[0], self.depths)
        if is_small(input_shape, form):
            self.features[-1] = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(512, num_classes))
        else:
            self.classifier = nn.Sequential(
                averaged_map(7, input_shape),
                nn.Flatten(),
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, num_classes),
            )
        he_normal(self)
        narrow_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
