"""Losses, one class a file."""
