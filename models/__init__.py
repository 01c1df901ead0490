"""Networks, one class a file. What several share is in the sub-package blocks."""
