"""Cross-entropy with a price for every weight that is expected to be there."""

from __future__ import annotations

from torch import Tensor

from secateur.config.option import option
from secateur.losses.CrossEntropy import CrossEntropy
from secateur.pruning.hard_concrete import HardConcreteGates
from secateur.utils.errors import UserError


class L0CrossEntropy(CrossEntropy):
    """Cross-entropy plus the L0 penalty of hard concrete gates (Louizos et al., 2018, equations 9 and 19).

    1/N * the sum over gated weights w of P(z > 0) * (N/2 * `--l2_reg` * w^2 + `--l0_reg`), for N training images; the
    biases of gated channels count likewise. For what has no gate, weight decay is all that is left: P = 1 and no
    `--l0_reg`. L0Trainer provides the gates and N.
    """

    implies = {"train_scheme": "L0Trainer"}
    l0_reg: float = option(1.0, "penalty on the expected number of weights", low=0, metavar="FACTOR", general=True)

    #: Weight decay, `--l2_reg`, which L0Trainer hands over.
    l2_reg: float = 0.0
    gates: HardConcreteGates | None = None
    #: Training images.
    images: int = 0

    def penalty(self) -> Tensor:
        """The norm terms of CrossEntropy and the L0 penalty."""
        if self.gates is None:
            raise UserError("--loss L0CrossEntropy needs gates, which --train_scheme L0Trainer has: train with --l0")
        decay, price = self.l2_reg / 2, self.l0_reg / self.images
        terms = [
            (probability * (decay * parameter.square() + price * kept)).sum()
            for parameter, probability, kept in self.gates.gated()
        ]
        if decay:
            terms += [decay * parameter.square().sum() for parameter in self.gates.ungated()]
        norms = super().penalty()
        return sum(terms) if norms is None else sum(terms) + norms
