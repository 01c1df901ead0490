"""Magnitude pruning little by little during training."""

from criterions.Magnitude import Magnitude
from utils.pruning.moments import Timing


class GradualMagnitude(Magnitude):
    """Gradual magnitude pruning (Zhu and Gupta, 2018, "To prune, or not to prune", section 3, equation 1).

    sparsity after event i of n: limit * (1 - (1 - i / n)^3), one event each `--prune_freq` epochs from `--prune_delay`
    on; n is `--snip_steps`, or as many as fit into the first three quarters of training, which leaves the last quarter
    to recover.
    """

    schedule = "cubic"
    moment = "during"

    def number_of_steps(self, timing: Timing) -> int:
        """`--snip_steps`, or what fits into three quarters of training."""
        return timing.events_within(0.75) if "snip_steps" not in self.arguments.explicit else self.arguments.snip_steps
