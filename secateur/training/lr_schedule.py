"""The base of every learning-rate schedule. Free of torch: the command line checks the parameters."""

from __future__ import annotations

import math

from secateur.utils.errors import UserError


class LearningRateSchedule:
    """What the learning rate is multiplied by at each step: most write `factor` alone.

    `--lr_schedule NAME`, or `NAME:PARAMETERS` for one that has some. Parameters: `parameters`, that text, empty where
    there is none; `total`, the steps of training; `batches`, those of an epoch.
    """

    #: Other names on the command line, in lower case.
    aliases: tuple[str, ...] = ()

    def __init__(self, parameters: str, total: int, batches: int) -> None:
        self.check(parameters)
        self.parameters, self.total, self.batches = parameters, total, batches

    @classmethod
    def check(cls, parameters: str) -> None:
        """Raise `UserError` where the text of the parameters cannot be; here, where there is any."""
        if parameters:
            raise UserError(f"--lr_schedule {cls.__name__} takes no parameters, but was given '{parameters}'")

    def factor(self, step: int) -> float:
        """Return the factor at a step of training, from 0 to `total`."""
        raise NotImplementedError(f"{type(self).__name__} has no method factor(step)")


def half_cosine(start: float, end: float, fraction: float) -> float:
    """Go from `start` to `end` along half a cosine, `fraction` of the way; beyond 1 it stays at the end."""
    return end + (start - end) * (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
