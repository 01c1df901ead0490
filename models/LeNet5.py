"""LeNet-5, as the pruning literature uses it."""

from torch import Tensor, nn

from secateur.models.blocks.initialisation import glorot_normal


class LeNet5(nn.Module):
    """LeNet-5 in the form that pruning papers mean (LeCun et al., 1998, as changed in Caffe): 20-50-500 units.

    431,080 parameters on MNIST, the number of Han et al. (2015) and SNIP (Lee et al., 2019). Images under 16 pixels are
    padded, so that something is left to convolve.
    """

    aliases = ("lenet-5-caffe",)

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        padding = 0 if min(height, width) >= 16 else 2

        def shrunk(size: int) -> int:
            for _ in range(2):
                size = (size - 4 + 2 * padding) // 2
            return size

        self.features = nn.Sequential(
            nn.Conv2d(channels, 20, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(50 * shrunk(height) * shrunk(width), 500),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(500, num_classes)
        glorot_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, num_classes)."""
        return self.classifier(self.features(images))
