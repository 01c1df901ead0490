"""A learning rate that falls to zero."""

from secateur.training.lr_schedule import LearningRateSchedule, half_cosine


class Cosine(LearningRateSchedule):
    """Cosine annealing, without restarts (Loshchilov and Hutter, 2017, "SGDR", equation 5): from 1 to 0."""

    def factor(self, step: int) -> float:
        """(1 + cos(pi * step / total)) / 2."""
        return half_cosine(1.0, 0.0, step / self.total)
