"""A learning rate that stays as it is."""

from secateur.training.lr_schedule import LearningRateSchedule


class Constant(LearningRateSchedule):
    """The learning rate stays as it is: factor 1."""

    def factor(self, step: int) -> float:
        """1."""
        return 1.0
