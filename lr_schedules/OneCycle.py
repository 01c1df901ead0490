"""A learning rate that rises and falls once."""

from secateur.training.lr_schedule import LearningRateSchedule, half_cosine


class OneCycle(LearningRateSchedule):
    """The 1cycle policy (Smith and Topin, 2018, "Super-Convergence"): up from 1/25, then down to 1/250,000.

    Up for three tenths of the steps, down for the rest, both along half a cosine.
    """

    def factor(self, step: int) -> float:
        """From 1/25 to 1 to 1/250,000."""
        peak = max(0.3 * self.total, 1)
        if step < peak:
            return half_cosine(1 / 25, 1.0, step / peak)
        return half_cosine(1.0, 1 / 250_000, (step - peak) / max(self.total - peak, 1))
