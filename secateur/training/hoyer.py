"""What DeepHoyer's losses have in common: a factor, and an end."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from secateur.config.option import option
from secateur.losses.CrossEntropy import CrossEntropy


class HoyerPenalty(CrossEntropy):
    """Cross-entropy plus `--hoyer_reg` * the sum of a term of each weight (Yang et al., 2020, DeepHoyer)."""

    title = "DeepHoyer"

    hoyer_reg: float = option(1.0, "weight of the penalty of DeepHoyer's losses", low=0, metavar="FACTOR", general=True)

    state_attrs = ("has_pruned",)
    #: Whether the criterion has pruned, after which the term is left out, of layers that were not pruned too.
    has_pruned = False

    def terms(self) -> Iterable[Tensor]:
        """Return the term of each weight, scalars."""
        raise NotImplementedError(f"{type(self).__name__} has no method terms()")

    def penalty(self) -> Tensor | None:
        """The norm terms of CrossEntropy and the Hoyer terms."""
        norms = super().penalty()
        terms = [] if self.has_pruned or not self.hoyer_reg else list(self.terms())
        if not terms:
            return norms
        hoyer = self.hoyer_reg * sum(terms)
        return hoyer if norms is None else hoyer + norms
