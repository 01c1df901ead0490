"""Small photographs of ten kinds of things."""

from secateur.data.cifar import Cifar


class CIFAR10(Cifar):
    """Ten kinds of animals and vehicles (Krizhevsky, 2009): 50,000 training and 10,000 test images of 3x32x32.

    The files lie in cifar-10-batches-py below `--data_dir`. Training images are shifted by up to `--crop` pixels
    (4) and mirrored with probability `--flip` (0.5), as usual (He et al., 2016).
    """

    num_classes = 10
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    published = "CIFAR10"
