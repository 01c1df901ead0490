"""VGG-16 of SNIP-it's program."""

from torch import Tensor, nn

from secateur.models.blocks.forms import averaged_map
from secateur.models.blocks.snip_it import SLOPE, orthogonal, perceptron


class VGG16_SNIPit(nn.Module):  # noqa: N801 - a variant of VGG16
    """VGG-16 as SNAP-it was published with (Verdenius et al., 2020): two hidden layers of 4096 behind 2x2 maps.

    50,703,946 parameters and 12,928 units on CIFAR-10. The last convolution has 1024 channels and no pooling behind it.
    Its initialisation takes seconds. Maps of odd size are rounded up where they are halved, so that small images fit.
    """

    #: The channels of each convolution, stage by stage; between the stages maps are halved.
    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 1024))
    hidden = (4096, 4096)

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, layers = input_shape[0], []
        for stage in self.stages:
            if layers:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for outputs in stage:
                layers += [
                    nn.Conv2d(channels, outputs, 3, padding=1),
                    nn.BatchNorm2d(outputs),
                    nn.LeakyReLU(SLOPE),
                ]
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.Sequential(averaged_map(2, input_shape, exact=32), nn.Flatten())
        self.classifier = perceptron((4 * channels, *self.hidden), num_classes)
        orthogonal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.pool(self.features(images)))
