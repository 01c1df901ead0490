"""No pruning."""

from utils.pruning.criterion import Criterion
from utils.pruning.moments import Plan, Timing


class EmptyCrit(Criterion):
    """Prunes nothing: the dense baseline."""

    def plan(self, timing: Timing) -> Plan:
        """No event, whatever the limit."""
        return Plan(timing.total)
