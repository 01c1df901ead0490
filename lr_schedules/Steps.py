"""A learning rate that falls at given epochs."""

import re

from secateur.training.lr_schedule import LearningRateSchedule
from secateur.utils.errors import UserError

FORM = r"(\d+(?:,\d+)*)x(\d*\.?\d+)"


class Steps(LearningRateSchedule):
    """Times a factor at each of some epochs, as `steps:60,120x0.1` (He et al., 2016, "Deep Residual Learning")."""

    @classmethod
    def check(cls, parameters: str) -> None:
        """Refuse what is not EPOCH,EPOCHxFACTOR."""
        if not re.fullmatch(FORM, parameters):
            raise UserError(f"--lr_schedule: 'steps:{parameters}' is not steps:EPOCH,EPOCHxFACTOR, as steps:60,120x0.1")

    def factor(self, step: int) -> float:
        """The factor to the power of how many of the epochs have come."""
        epochs, factor = re.fullmatch(FORM, self.parameters).groups()
        milestones = [int(epoch) * self.batches for epoch in epochs.split(",")]
        return float(factor) ** sum(step >= milestone for milestone in milestones)
