"""The authors' programs, called on networks and batches that one has."""
