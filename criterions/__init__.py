"""Pruning criteria, one class a file."""
