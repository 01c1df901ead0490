"""Which of a run's settings have a say in the network that comes out of it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping

#: Groups of flags that have, and flags of other groups that do.
GROUPS, ALSO = ("network and data", "pruning", "training"), ("precision",)
#: Flags of these groups that have not.
NO_MATTER = ("data_dir", "no_compact", "preload_all_data")


def shapes_network(name: str, groups: Mapping[str, str]) -> bool:
    """Whether a setting has a say; `groups` has the title of the group of every run's flags.

    What is in no group is an option of a component or of a plugin, and has one.
    """
    return name in ALSO or (groups.get(name, GROUPS[0]) in GROUPS and name not in NO_MATTER)
