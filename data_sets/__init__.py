"""Data sets, one class a file."""
