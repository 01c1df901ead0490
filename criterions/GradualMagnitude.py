"""Magnitude pruning little by little during training."""

from secateur.criterions.Magnitude import Magnitude
from secateur.pruning.plan import Timeline


class GradualMagnitude(Magnitude):
    """Gradual magnitude pruning (Zhu and Gupta, 2018, "To prune, or not to prune", section 3, equation 1).

    sparsity after step i of n: limit * (1 - (1 - i / n)^3), one step each `--prune_freq` epochs from `--prune_delay`
    on; n is `--snip_steps`, or as many as fit into the first three quarters of training, which leaves the last quarter
    to recover.
    """

    schedule = "cubic"
    timing = "during"
    snip_steps = None

    def number_of_steps(self, timeline: Timeline) -> int:
        """`--snip_steps`, or what fits into three quarters of training."""
        return self.snip_steps or timeline.steps_within(0.75)
