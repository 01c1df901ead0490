"""Grids: a run of each combination of flags, on whatever runs them."""
