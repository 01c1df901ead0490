"""Training schemes, one class a file."""
