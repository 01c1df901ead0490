"""No pruning."""

from secateur.pruning.criterion import Criterion
from secateur.pruning.plan import Plan, Timeline


class EmptyCrit(Criterion):
    """Prunes nothing: the dense baseline."""

    def plan(self, timeline: Timeline) -> Plan:
        """No pruning step, whatever the limit."""
        return Plan(timeline.total)
