"""A learning rate that rises and falls along straight lines."""

import re

from secateur.training.lr_schedule import LearningRateSchedule
from secateur.utils.errors import UserError

FORM = r"0?\.\d+|0"


class Linear(LearningRateSchedule):
    """Up from 0 over a share of the steps, as `linear:0.2`, then down to 0; without a share only down.

    The triangle of Page (2018, "How to Train Your ResNet", part 1) and, without a share, the linear decay of Li et al.
    (2020, "Budgeted Training", section 3.2).
    """

    @classmethod
    def check(cls, parameters: str) -> None:
        """Refuse what is no share below 1."""
        if parameters and not re.fullmatch(FORM, parameters):
            raise UserError(f"--lr_schedule: 'linear:{parameters}' is not linear:SHARE, below 1, as linear:0.2")

    def factor(self, step: int) -> float:
        """(step + 1) / (peak + 1) up to the peak, which is 1, then what is left of the way down from it.

        Step 0 is not without effect, and the last step is not either.
        """
        peak = float(self.parameters or 0) * self.total
        return min((step + 1) / (peak + 1), max(self.total - step, 0) / (self.total - peak))
