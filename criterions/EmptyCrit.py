"""No pruning."""

from utils.pruning.criterion import Criterion
from utils.pruning.moments import Plan


class EmptyCrit(Criterion):
    """Prunes nothing: the dense baseline."""

    def plan(self) -> Plan:
        """No event, whatever the limit."""
        return {}
