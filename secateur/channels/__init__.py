"""Channels: which are coupled, how they are removed, what makes up for them, which a pruned network does not need."""
