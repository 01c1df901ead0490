"""Evaluation schemes, one class a file."""
