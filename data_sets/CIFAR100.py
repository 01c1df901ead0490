"""Small photographs of a hundred kinds of things."""

from secateur.data.cifar import Cifar


class CIFAR100(Cifar):
    """A hundred kinds of things (Krizhevsky, 2009): 50,000 training and 10,000 test images of 3x32x32.

    The files lie in cifar-100-python below `--data_dir`. Training images are shifted by up to `--crop` pixels
    (4) and mirrored with probability `--flip` (0.5), as usual (He et al., 2016).
    """

    num_classes = 100
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    published = "CIFAR100"
